package bench;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;

/** What is known about a customer: the counters of {@code fold} in benchmarks/peers/job.py. */
public final class Counters {
    private static final long SESSION_GAP_MS = 30 * 60_000;
    private static final double HALF_LIFE_MS = 10 * 60_000;

    public long sessionStart;
    public long sessionEvents;
    public long sessions;
    public long events;
    public long lastTime;
    public double cartValue;
    public double spend;
    public long[] times;
    public long[] counts;
    public double[] recent;

    /** For Flink, which fills the fields itself. */
    public Counters() {}

    Counters(int kinds) {
        times = new long[kinds];
        counts = new long[kinds];
        recent = new double[kinds];
    }

    /** Folds one event into the counters. {@code add_to_cart} and {@code purchase} are kinds of events. */
    void fold(Event event, int addToCart, int purchase) {
        int kind = event.kind;
        long now = event.time;
        if (now - lastTime > SESSION_GAP_MS) {
            sessionStart = now;
            sessionEvents = 1;
            sessions++;
        } else {
            sessionEvents++;
        }
        long passed = counts[kind] == 0 ? 0 : Math.max(now - times[kind], 0);
        recent[kind] = recent[kind] * Math.pow(0.5, passed / HALF_LIFE_MS) + 1.0;
        times[kind] = now;
        counts[kind]++;
        events++;
        lastTime = now;
        if (kind == addToCart) {
            cartValue += event.money;
        } else if (kind == purchase) {
            spend += event.money;
            cartValue = 0.0;
        }
    }

    /** Writes the network's inputs, in the order of benchmarks/peers/job.py, from a position on. */
    void write(FloatBuffer vector, int at) {
        vector.put(at, lastTime - sessionStart);
        vector.put(at + 1, sessionEvents);
        vector.put(at + 2, events);
        vector.put(at + 3, sessions);
        vector.put(at + 4, (float) cartValue);
        vector.put(at + 5, (float) spend);
        for (int kind = 0; kind < times.length; kind++) {
            vector.put(at + 6 + 3 * kind, lastTime - times[kind]);
            vector.put(at + 7 + 3 * kind, counts[kind]);
            vector.put(at + 8 + 3 * kind, (float) recent[kind]);
        }
    }

    /** Returns the counters as bytes of a fixed layout, for Kafka Streams. */
    byte[] toBytes() {
        ByteBuffer buffer = ByteBuffer.allocate(7 * 8 + 24 * times.length);
        buffer.putLong(sessionStart).putLong(sessionEvents).putLong(sessions).putLong(events).putLong(lastTime);
        buffer.putDouble(cartValue).putDouble(spend);
        for (int kind = 0; kind < times.length; kind++) {
            buffer.putLong(times[kind]).putLong(counts[kind]).putDouble(recent[kind]);
        }
        return buffer.array();
    }

    static Counters fromBytes(byte[] bytes) {
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        Counters counters = new Counters((bytes.length - 7 * 8) / 24);
        counters.sessionStart = buffer.getLong();
        counters.sessionEvents = buffer.getLong();
        counters.sessions = buffer.getLong();
        counters.events = buffer.getLong();
        counters.lastTime = buffer.getLong();
        counters.cartValue = buffer.getDouble();
        counters.spend = buffer.getDouble();
        for (int kind = 0; kind < counters.times.length; kind++) {
            counters.times[kind] = buffer.getLong();
            counters.counts[kind] = buffer.getLong();
            counters.recent[kind] = buffer.getDouble();
        }
        return counters;
    }
}
