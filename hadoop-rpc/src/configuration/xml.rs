use std::path::Path;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use super::{ConfigurationError, Property};

const MAX_BYTES: u64 = 16 << 20;
const MAX_INCLUDES: usize = 16;
const MAX_DEPTH: usize = 16;

/// What a file holds: properties in their order, and other files between them.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    items: Vec<Item>,
    name: String,
}

#[derive(Debug)]
enum Item {
    Property(Property),
    Include { href: String, or_nothing: bool },
}

impl Parsed {
    /// The properties of a text that includes no other file.
    pub(super) fn into_properties(self) -> Result<Vec<Property>, ConfigurationError> {
        let name = self.name;
        let property = |item| match item {
            Item::Property(property) => Ok(property),
            Item::Include { href, .. } => {
                Err(error(&name, format!("xi:include of `{href}` is possible only in files")))
            }
        };
        self.items.into_iter().map(property).collect()
    }
}

/// Reads a file and the files that it includes.
pub(super) fn read_file(path: &Path) -> Result<Vec<Property>, ConfigurationError> {
    let mut properties = Vec::new();
    let mut left = MAX_INCLUDES;
    collect(path, &mut left, &mut properties)?;
    Ok(properties)
}

fn collect(path: &Path, left: &mut usize, into: &mut Vec<Property>) -> Result<(), ConfigurationError> {
    let parsed = parse(&path.display().to_string(), &read_text(path)?)?;
    for item in parsed.items {
        match item {
            Item::Property(property) => into.push(property),
            Item::Include { href, or_nothing } => {
                let target = path.parent().unwrap_or(Path::new(".")).join(href.trim_start_matches("file://"));
                if or_nothing && !target.exists() {
                    continue;
                }
                *left = left.checked_sub(1).ok_or_else(|| {
                    error(
                        &parsed.name,
                        format!("more than {MAX_INCLUDES} files are included; do they include themselves?"),
                    )
                })?;
                collect(&target, left, into)?;
            }
        }
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<String, ConfigurationError> {
    let unreadable = |cause: String| ConfigurationError::Unreadable { path: path.to_owned(), cause };
    let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if size > MAX_BYTES {
        return Err(unreadable(format!("it has {size} bytes; a configuration has at most {MAX_BYTES}")));
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))
}

/// Parses a `<configuration>`.
pub(super) fn parse(name: &str, text: &str) -> Result<Parsed, ConfigurationError> {
    let mut reader = Reader::from_str(text);
    let mut state = State::default();
    loop {
        let event = reader.read_event();
        let at = |what: String| error(name, format!("line {}: {what}", line(text, reader.buffer_position())));
        match event.map_err(|cause| at(cause.to_string()))? {
            Event::Start(tag) => state.open(&tag).map_err(at)?,
            Event::Empty(tag) => state.open(&tag).and_then(|()| state.close()).map_err(at)?,
            Event::End(_) => state.close().map_err(at)?,
            Event::Text(text) => state.text(&text.xml10_content()),
            Event::CData(text) => state.text(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let reference: &str = &reference;
                let character = character(reference)
                    .ok_or_else(|| at(format!("the entity &{reference}; is not known; write its character")))?;
                state.text(character.encode_utf8(&mut [0; 4]));
            }
            Event::DocType(_) => return Err(at("a DOCTYPE is not allowed; remove it".to_owned())),
            Event::Eof if !state.path.is_empty() => {
                return Err(at(format!("the file ends inside <{}>; it may be cut", state.path.join("><"))));
            }
            Event::Eof if !state.saw_root => return Err(at("there is no <configuration>".to_owned())),
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    Ok(Parsed { items: state.items, name: name.to_owned() })
}

/// Where the reader is, and what it has of the current property.
#[derive(Default)]
struct State {
    path: Vec<String>,
    name: Option<String>,
    value: Option<String>,
    is_final: bool,
    text: String,
    saw_root: bool,
    items: Vec<Item>,
}

impl State {
    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), String> {
        let element = tag.local_name().as_ref().to_owned();
        match (self.path.len(), element.as_str()) {
            (0, "configuration") => self.saw_root = true,
            (0, other) => return Err(format!("the file begins with <{other}>, expected <configuration>")),
            (MAX_DEPTH.., _) => return Err(format!("elements are nested more than {MAX_DEPTH} deep")),
            (_, "property") => self.begin_property(tag)?,
            (_, "include") => self.include(tag)?,
            _ => {}
        }
        self.text.clear();
        self.path.push(element);
        Ok(())
    }

    /// Hadoop allows a property to be written in attributes, too.
    fn begin_property(&mut self, tag: &BytesStart<'_>) -> Result<(), String> {
        (self.name, self.value, self.is_final) = (attribute(tag, "name")?, attribute(tag, "value")?, false);
        self.is_final = attribute(tag, "final")?.is_some_and(|text| is_true(&text));
        Ok(())
    }

    fn include(&mut self, tag: &BytesStart<'_>) -> Result<(), String> {
        let href = attribute(tag, "href")?.ok_or("xi:include has no href")?;
        self.items.push(Item::Include { href, or_nothing: false });
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let element = self.path.pop().ok_or("an element is closed that was not opened")?;
        let text = std::mem::take(&mut self.text);
        let in_property = self.path.last().is_some_and(|parent| parent == "property");
        match element.as_str() {
            "name" if in_property => self.name = Some(text.trim().to_owned()),
            "value" if in_property => self.value = Some(text),
            "final" if in_property => self.is_final = is_true(&text),
            "fallback" => self.allow_nothing(),
            "property" => self.end_property(),
            _ => {}
        }
        Ok(())
    }

    /// `<xi:include><xi:fallback/></xi:include>`: the file may be missing.
    fn allow_nothing(&mut self) {
        if let Some(Item::Include { or_nothing, .. }) = self.items.last_mut() {
            *or_nothing = true;
        }
    }

    /// A property without a value is no property, as in Hadoop.
    fn end_property(&mut self) {
        let (name, value) = (self.name.take(), self.value.take());
        if let (Some(key), Some(value)) = (name.filter(|name| !name.is_empty()), value) {
            self.items.push(Item::Property(Property { key, value, is_final: self.is_final }));
        }
    }

    fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    let attribute = tag.try_get_attribute(name).map_err(|cause| cause.to_string())?;
    let Some(attribute) = attribute else { return Ok(None) };
    let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|cause| cause.to_string())?;
    Ok(Some(value.into_owned()))
}

fn is_true(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case("true")
}

/// The predefined entities and character references; others would need a DTD.
fn character(reference: &str) -> Option<char> {
    match reference {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = reference.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

fn line(text: &str, position: u64) -> usize {
    let position = usize::try_from(position).unwrap_or(usize::MAX).min(text.len());
    1 + text.as_bytes()[..position].iter().filter(|byte| **byte == b'\n').count()
}

fn error(file: &str, what: String) -> ConfigurationError {
    ConfigurationError::Xml { file: file.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(text: &str) -> Result<Vec<(String, String, bool)>, String> {
        let parsed = parse("site.xml", text).and_then(Parsed::into_properties).map_err(|error| error.to_string())?;
        Ok(parsed.into_iter().map(|p| (p.key, p.value, p.is_final)).collect())
    }

    #[test]
    fn properties_are_read() {
        let text = r#"<?xml version="1.0"?>
            <?xml-stylesheet type="text/xsl" href="configuration.xsl"?>
            <!-- a comment -->
            <configuration>
              <property><name> a </name><value>x &lt; &#65;&amp;<![CDATA[<b>]]></value><final> TRUE </final>
                <description>words</description><source>here</source></property>
              <property name="c" value="d &quot;" final="false"/>
              <property><name>no.value</name></property>
              <property><name>empty</name><value/></property>
            </configuration>"#;
        let expect = [("a", "x < A&<b>", true), ("c", "d \"", false), ("empty", "", false)];
        let expect: Vec<_> = expect.map(|(k, v, f)| (k.to_owned(), v.to_owned(), f)).into();
        assert_eq!(properties(text).unwrap(), expect);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let check = |text: &str, expect: &str| {
            let message = properties(text).unwrap_err();
            assert!(message.contains(expect), "{message}");
        };
        check("<!DOCTYPE x [<!ENTITY e \"v\">]>\n<configuration/>", "site.xml: line 1: a DOCTYPE is not allowed");
        check("<configuration>\n<property><name>a</name><value>&e;</value>", "line 2: the entity &e; is not known");
        check("<configuration>\n<property>", "the file ends inside <configuration><property>");
        check("<html></html>", "begins with <html>");
        check("", "there is no <configuration>");
        check(&"<configuration>".repeat(40), "nested more than");
        check("<configuration><property></x>", "line 1");
        check("<configuration><xi:include href='other.xml'/></configuration>", "only in files");
    }

    #[test]
    fn files_include_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let property = |key: &str| format!("<property><name>{key}</name><value>1</value></property>");
        write(
            "a.xml",
            &format!(
                "<configuration>{}<xi:include href=\"b.xml\"/>{}<xi:include href='none.xml'><xi:fallback/></xi:include></configuration>",
                property("a"),
                property("c")
            ),
        );
        write("b.xml", &format!("<configuration>{}</configuration>", property("b")));
        let keys: Vec<String> = read_file(&folder.path().join("a.xml")).unwrap().into_iter().map(|p| p.key).collect();
        assert_eq!(keys, ["a", "b", "c"]);
        write("b.xml", "<configuration><xi:include href=\"b.xml\"/></configuration>");
        let message = read_file(&folder.path().join("b.xml")).unwrap_err().to_string();
        assert!(message.contains("include themselves"), "{message}");
    }
}
