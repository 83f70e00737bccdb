package bench;

import java.nio.file.Path;
import java.util.List;

/** What a peer is told by its environment: where the servers are, what to read and what to write. */
record Task(String kafka, String source, String sink, Path bundle, Path folder, String run, List<String> kinds) {

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
