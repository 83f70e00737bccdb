package bench;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;

/** The job in Flink, exactly once: counters on the heap, a checkpoint and a transaction every second, all in one process. */
public final class FlinkPeer {
    private static final long CHECKPOINT_MS = 1000;
    // The connector's default of an hour is more than a broker allows.
    private static final String TRANSACTION_TIMEOUT_MS = "600000";

    private FlinkPeer() {}

    public static void main(String[] arguments) throws Exception {
        Task task = Task.fromEnvironment();
        Configuration settings = new Configuration();
        settings.set(StateBackendOptions.STATE_BACKEND, "hashmap");
        settings.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
        settings.set(
                CheckpointingOptions.CHECKPOINTS_DIRECTORY, task.folder().resolve("flink-" + task.run()).toUri().toString());
        StreamExecutionEnvironment flow = StreamExecutionEnvironment.createLocalEnvironment(1, settings);
        flow.enableCheckpointing(CHECKPOINT_MS, CheckpointingMode.EXACTLY_ONCE);
        flow.getConfig().enableObjectReuse();
        flow.fromSource(source(task), WatermarkStrategy.noWatermarks(), "events")
                .keyBy(event -> event.customerId)
                .process(new Scoring())
                .sinkTo(sink(task));
        flow.execute("bench");
    }

    private static KafkaSource<Event> source(Task task) {
        return KafkaSource.<Event>builder()
                .setBootstrapServers(task.kafka())
                .setTopics(task.source())
                .setGroupId("bench-flink-" + task.run())
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setDeserializer(new Decoding())
                .build();
    }

    private static KafkaSink<Tuple2<byte[], byte[]>> sink(Task task) {
        String topic = task.sink();
        KafkaRecordSerializationSchema<Tuple2<byte[], byte[]>> schema =
                (score, context, timestamp) -> new ProducerRecord<>(topic, score.f0, score.f1);
        return KafkaSink.<Tuple2<byte[], byte[]>>builder()
                .setBootstrapServers(task.kafka())
                .setRecordSerializer(schema)
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix("bench-flink-" + task.run())
                .setProperty(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG, TRANSACTION_TIMEOUT_MS)
                .setProperty(ProducerConfig.BATCH_SIZE_CONFIG, String.valueOf(Task.BATCH_BYTES))
                .build();
    }

    private static final class Decoding implements KafkaRecordDeserializationSchema<Event> {
        private static final long serialVersionUID = 1;
        private transient Events events;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Event> out) throws IOException {
            if (events == null) {
                events = new Events(Task.fromEnvironment().kinds());
            }
            out.collect(events.decode(record.value()));
        }

        @Override
        public TypeInformation<Event> getProducedType() {
            return Types.POJO(Event.class);
        }
    }

    private static final class Scoring extends KeyedProcessFunction<String, Event, Tuple2<byte[], byte[]>> {
        private static final long serialVersionUID = 1;
        private transient Job job;
        private transient ValueState<Counters> state;

        @Override
        public void open(OpenContext context) throws Exception {
            job = new Job(Task.fromEnvironment(), 1);
            state = getRuntimeContext()
                    .getState(new ValueStateDescriptor<>("counters", Types.POJO(Counters.class)));
        }

        @Override
        public void processElement(Event event, Context context, Collector<Tuple2<byte[], byte[]>> out)
                throws Exception {
            Counters counters = state.value();
            if (counters == null) {
                counters = job.fresh();
            }
            job.fold(counters, event);
            state.update(counters);
            out.collect(Tuple2.of(event.customerId.getBytes(StandardCharsets.UTF_8), job.score(counters, event)));
        }
    }
}
