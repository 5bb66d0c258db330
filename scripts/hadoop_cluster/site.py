"""Configuration folders: one for each daemon and one for clients."""
from xml.sax.saxutils import escape

from .places import write
from .roles import roles

LOG = """\
log4j.rootLogger={level},console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{{ISO8601}} %p %c{{2}}: %m%n
"""


def write_all(places, settings, variants):
    """Writes every folder anew."""
    _write(places.conf / "client", settings.files(), "WARN")
    for role in roles(variants).values():
        _write(places.conf / role.name, settings.files(role), "INFO")
    _write_web_applications(places.run / "web")


def _write(folder, files, level):
    for name, keys in files.items():
        write(folder / name, _xml(keys))
    write(folder / "log4j.properties", LOG.format(level=level))


def _xml(keys):
    lines = [f"  <property><name>{escape(key)}</name><value>{escape(str(value))}</value></property>"
             for key, value in keys.items()]
    return "\n".join(['<?xml version="1.0"?>', "<configuration>", *lines, "</configuration>", ""])


def _write_web_applications(folder):
    # Hadoop's jars lack the pages of HDFS, and its daemons do not start without a folder for them.
    for name in ("hdfs", "datanode"):
        write(folder / "webapps" / name / "WEB-INF" / "web.xml",
              '<web-app version="2.4" xmlns="http://java.sun.com/xml/ns/j2ee"></web-app>\n')
