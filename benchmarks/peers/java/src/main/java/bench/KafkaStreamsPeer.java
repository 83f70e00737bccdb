package bench;

import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The job in Kafka Streams, exactly once: a store of counters, kept in a changelog topic, and a score per event.
 *
 * <p>Arguments: the guarantee ({@code exactly_once_v2}), and the store: {@code memory} or {@code rocksdb}. The store has
 * a cache, as the stores of aggregations have it: a customer goes to the store and the changelog once a commit.
 */
public final class KafkaStreamsPeer {
    private static final String STORE = "counters";

    private KafkaStreamsPeer() {}

    public static void main(String[] arguments) {
        Task task = Task.fromEnvironment();
        String guarantee = arguments[0];
        KeyValueBytesStoreSupplier store =
                switch (arguments[1]) {
                    case "memory" -> Stores.inMemoryKeyValueStore(STORE);
                    case "rocksdb" -> Stores.persistentKeyValueStore(STORE);
                    default -> throw new IllegalArgumentException("neither memory nor rocksdb: " + arguments[1]);
                };
        Serde<Counters> counters =
                Serdes.serdeFrom((topic, value) -> value.toBytes(), (topic, bytes) -> Counters.fromBytes(bytes));
        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(
                Stores.keyValueStoreBuilder(store, Serdes.String(), counters).withCachingEnabled());
        builder.stream(task.source(), Consumed.with(Serdes.String(), Serdes.ByteArray()))
                .processValues(() -> new Scoring(task), STORE)
                .to(task.sink(), Produced.with(Serdes.String(), Serdes.ByteArray()));

        KafkaStreams streams = new KafkaStreams(builder.build(), settings(task, guarantee));
        streams.setUncaughtExceptionHandler(
                exception -> {
                    exception.printStackTrace();
                    Runtime.getRuntime().halt(1);
                    throw new IllegalStateException(exception);
                });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static Properties settings(Task task, String guarantee) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "bench-streams-" + task.run());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, task.kafka());
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, task.folder().resolve("streams").toString());
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), Task.BATCH_BYTES);
        return settings;
    }

    /** Folds and scores the events of a task of Kafka Streams. */
    private static final class Scoring implements FixedKeyProcessor<String, byte[], byte[]> {
        private final Task task;
        private Job job;
        private FixedKeyProcessorContext<String, byte[]> context;
        private KeyValueStore<String, Counters> store;

        Scoring(Task task) {
            this.task = task;
        }

        @Override
        public void init(FixedKeyProcessorContext<String, byte[]> context) {
            this.context = context;
            store = context.getStateStore(STORE);
            try {
                job = new Job(task, 1);
            } catch (Exception exception) {
                throw new IllegalStateException(exception);
            }
        }

        @Override
        public void process(FixedKeyRecord<String, byte[]> record) {
            try {
                Event event = job.decode(record.value());
                Counters counters = store.get(record.key());
                if (counters == null) {
                    counters = job.fresh();
                }
                job.fold(counters, event);
                store.put(record.key(), counters);
                context.forward(record.withValue(job.score(counters, event)));
            } catch (Exception exception) {
                throw new IllegalStateException(exception);
            }
        }
    }
}
