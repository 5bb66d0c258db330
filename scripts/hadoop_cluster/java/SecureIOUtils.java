package org.apache.hadoop.io;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.attribute.PosixFilePermission;
import java.util.EnumSet;
import java.util.Set;

import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;

/**
 * Stands in for the class of this name in hadoop-common. That one needs Hadoop's native library as soon as Kerberos is on,
 * which is in no jar, and without it a NodeManager ends when it collects its first log. This one opens the same files
 * without a look at their owners: all containers of a test cluster run as one user.
 */
public class SecureIOUtils {
  private SecureIOUtils() {}

  public static RandomAccessFile openForRandomRead(File file, String mode, String owner, String group) throws IOException {
    return new RandomAccessFile(file, mode);
  }

  public static FSDataInputStream openFSDataInputStream(File file, String owner, String group) throws IOException {
    return FileSystem.getLocal(new Configuration()).getRaw().open(new Path(file.getAbsolutePath()));
  }

  public static FileInputStream openForRead(File file, String owner, String group) throws IOException {
    return new FileInputStream(file);
  }

  public static FileOutputStream createForWrite(File file, int permissions) throws IOException {
    try {
      Files.createFile(file.toPath());
    } catch (FileAlreadyExistsException error) {
      throw new AlreadyExistsException(error);
    }
    Files.setPosixFilePermissions(file.toPath(), bits(permissions));
    return new FileOutputStream(file);
  }

  private static Set<PosixFilePermission> bits(int permissions) {
    Set<PosixFilePermission> found = EnumSet.noneOf(PosixFilePermission.class);
    for (PosixFilePermission permission : PosixFilePermission.values()) {
      if ((permissions & (0400 >> permission.ordinal())) != 0) {
        found.add(permission);
      }
    }
    return found;
  }

  /** The file is there already. */
  public static class AlreadyExistsException extends IOException {
    private static final long serialVersionUID = 1L;

    public AlreadyExistsException(String message) {
      super(message);
    }

    public AlreadyExistsException(Throwable cause) {
      super(cause);
    }
  }
}
