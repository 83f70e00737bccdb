package bench;

import java.nio.file.Path;
import java.util.List;

/** What a peer is told by its environment: where the servers are, what to read and what to write. */
record Task(String kafka, String source, String sink, Path bundle, Path folder, String run, List<String> kinds) {
    /** Of every producer. Kafka's default of 16 kB makes the broker handle several times as many requests. */
    static final int BATCH_BYTES = 256 * 1024;

    static Task fromEnvironment() {
        return new Task(
                told("KAFKA"), told("SOURCE"), told("SINK"), Path.of(told("BUNDLE")), Path.of(told("FOLDER")),
                told("RUN"), List.of(told("KINDS").split(",")));
    }

    private static String told(String name) {
        String value = System.getenv("BENCH_" + name);
        if (value == null) {
            throw new IllegalStateException("BENCH_" + name + " is not set");
        }
        return value;
    }
}
