package bench;

import ai.onnxruntime.OrtException;
import java.io.IOException;
import java.util.List;

/** What a framework does with one event: fold it, score its customer, encode the score. */
final class Job {
    private final Task task;
    private final Events events;
    private final Network network;
    private final Scores scores;
    private final int addToCart;
    private final int purchase;

    Job(Task task, int rows) throws IOException, OrtException {
        this.task = task;
        List<String> kinds = task.kinds();
        events = new Events(kinds);
        network = new Network(task.bundle(), rows);
        scores = new Scores(task.bundle());
        addToCart = kinds.indexOf("add_to_cart");
        purchase = kinds.indexOf("purchase");
    }

    Event decode(byte[] json) throws IOException {
        return events.decode(json);
    }

    /** Returns the counters of a customer whom nobody has seen before. */
    Counters fresh() {
        return new Counters(task.kinds().size());
    }

    void fold(Counters counters, Event event) {
        counters.fold(event, addToCart, purchase);
    }

    /** Returns the score of one event whose customer is in {@code counters} after it. */
    byte[] score(Counters counters, Event event) throws IOException, OrtException {
        network.set(0, counters);
        return scores.encode(event, network.run(1)[0]);
    }

    /** Sets a row of the network's inputs, for {@link #scores}. */
    void prepare(int row, Counters counters) {
        network.set(row, counters);
    }

    /** Returns the scores of events whose rows are prepared, by one call of the network. */
    byte[][] scores(Event[] prepared, int rows) throws IOException, OrtException {
        float[] logits = network.run(rows);
        byte[][] encoded = new byte[rows][];
        for (int row = 0; row < rows; row++) {
            encoded[row] = scores.encode(prepared[row], logits[row]);
        }
        return encoded;
    }
}
