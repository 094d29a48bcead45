import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;

/**
 * The orders, one line of JSON each: in a file that outlives us, or in memory when none is named.
 *
 * <p>The file is only ever appended to and read whole: during a deploy the old and the new copy of this service both
 * have it open, and each sees what the other wrote.
 */
final class Book {
    private final Path file;
    private final List<String> memory = new ArrayList<>();

    Book(String file) {
        this.file = file == null ? null : Path.of(file);
    }

    synchronized String add(Catalog.Product product, int quantity) throws IOException {
        String line = String.format(
                "{\"id\": \"%s\", \"sku\": \"%s\", \"name\": \"%s\", \"quantity\": %d, \"total\": %d}",
                UUID.randomUUID().toString().substring(0, 8), product.sku(), product.name(), quantity,
                quantity * product.price());
        if (file == null) {
            memory.add(line);
        } else {
            Files.writeString(file, line + "\n", StandardCharsets.UTF_8, StandardOpenOption.CREATE,
                    StandardOpenOption.APPEND, StandardOpenOption.WRITE);
        }
        return line;
    }

    synchronized String json() throws IOException {
        return "[" + String.join(",\n ", lines()) + "]";
    }

    private List<String> lines() throws IOException {
        if (file == null) {
            return memory;
        }
        return Files.exists(file) ? Files.readAllLines(file, StandardCharsets.UTF_8) : List.of();
    }
}
