package bench;

/** What the job needs of an event. A plain object with public fields, which is what Flink serializes fastest. */
public final class Event {
    public String eventId;
    public String customerId;
    public int kind;
    public long time;
    public double money;
}
