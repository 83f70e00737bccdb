package bench;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The job by hand and without guarantees: a consumer, a map, a producer, one call of the network for a poll.
 *
 * <p>A crash loses the counters, and scores can be lost or come twice.
 */
public final class PlainPeer {
    private static final int ROWS = 1000;
    private static final int LINGER_MS = 5;

    private PlainPeer() {}

    public static void main(String[] arguments) throws Exception {
        Task task = Task.fromEnvironment();
        Job job = new Job(task, ROWS);
        Map<String, Counters> known = new HashMap<>();
        AtomicReference<Exception> failure = new AtomicReference<>();
        try (KafkaConsumer<byte[], byte[]> consumer =
                        new KafkaConsumer<>(reading(task), new ByteArrayDeserializer(), new ByteArrayDeserializer());
                KafkaProducer<byte[], byte[]> producer =
                        new KafkaProducer<>(writing(task), new ByteArraySerializer(), new ByteArraySerializer())) {
            consumer.subscribe(List.of(task.source()));
            while (failure.get() == null) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofSeconds(1));
                if (records.isEmpty()) {
                    continue;
                }
                Event[] events = new Event[records.count()];
                byte[][] keys = new byte[events.length][];
                int row = 0;
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    Event event = job.decode(record.value());
                    Counters counters = known.computeIfAbsent(event.customerId, customer -> job.fresh());
                    job.fold(counters, event);
                    job.prepare(row, counters);
                    events[row] = event;
                    keys[row++] = record.key();
                }
                byte[][] scores = job.scores(events, row);
                for (int sent = 0; sent < row; sent++) {
                    producer.send(
                            new ProducerRecord<>(task.sink(), keys[sent], scores[sent]),
                            (metadata, exception) -> {
                                if (exception != null) {
                                    failure.set(exception);
                                }
                            });
                }
            }
        }
        throw failure.get();
    }

    private static Map<String, Object> reading(Task task) {
        return Map.of(
                ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, task.kafka(),
                ConsumerConfig.GROUP_ID_CONFIG, "bench-java-" + task.run(),
                ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest",
                ConsumerConfig.MAX_POLL_RECORDS_CONFIG, ROWS);
    }

    private static Map<String, Object> writing(Task task) {
        return Map.of(
                ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, task.kafka(),
                ProducerConfig.ACKS_CONFIG, "1",
                ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, false,
                ProducerConfig.LINGER_MS_CONFIG, LINGER_MS,
                ProducerConfig.BATCH_SIZE_CONFIG, Task.BATCH_BYTES);
    }
}
