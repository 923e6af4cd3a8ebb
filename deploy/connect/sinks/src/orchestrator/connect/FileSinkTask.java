package orchestrator.connect;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.connect.errors.RetriableException;

/** One line for each command; offsets are committed only for lines that are on the disk. */
public final class FileSinkTask extends CommandSinkTask {
  private Path path;
  private FileChannel file;

  @Override
  AbstractConfig open(Map<String, String> given) {
    AbstractConfig settings = new AbstractConfig(FileSinkConnector.SETTINGS, given);
    path = Path.of(settings.getString(FileSinkConnector.PATH));
    return settings;
  }

  @Override
  void deliver(Command command) throws NotNow {
    try {
      if (file == null) {
        file = opened();
      }
      write(command.json().toString() + "\n");
    } catch (IOException error) {
      close();
      throw new NotNow("the file cannot be written: " + error.getClass().getSimpleName(), 0);
    }
  }

  private FileChannel opened() throws IOException {
    boolean isTorn = false;
    if (path.toFile().length() > 0) {
      try (FileChannel before = FileChannel.open(path, StandardOpenOption.READ)) {
        ByteBuffer last = ByteBuffer.allocate(1);
        before.read(last, before.size() - 1);
        isTorn = last.get(0) != '\n';
      }
    }
    FileChannel channel =
        FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.APPEND);
    if (isTorn) {
      // What a crash cut off stays a line of its own; its command comes again.
      channel.write(ByteBuffer.wrap(new byte[] {'\n'}));
    }
    return channel;
  }

  private void write(String line) throws IOException {
    ByteBuffer bytes = ByteBuffer.wrap(line.getBytes(StandardCharsets.UTF_8));
    while (bytes.hasRemaining()) {
      file.write(bytes);
    }
  }

  @Override
  public Map<TopicPartition, OffsetAndMetadata> preCommit(Map<TopicPartition, OffsetAndMetadata> offsets) {
    try {
      if (file != null) {
        file.force(false);
      }
    } catch (IOException error) {
      throw new RetriableException("what was written is not on the disk", error);
    }
    return super.preCommit(offsets);
  }

  private void close() {
    try {
      if (file != null) {
        file.close();
      }
    } catch (IOException error) {
      // The next command opens it again.
    }
    file = null;
  }

  @Override
  public void stop() {
    super.stop();
    close();
  }
}
