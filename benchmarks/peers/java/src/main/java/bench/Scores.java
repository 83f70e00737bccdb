package bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.StreamWriteFeature;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Path;

/** Encodes scores as benchmarks/peers/job.py has them. */
final class Scores {
    private final JsonFactory factory =
            JsonFactory.builder().enable(StreamWriteFeature.USE_FAST_DOUBLE_WRITER).build();
    private final ByteArrayOutputStream written = new ByteArrayOutputStream(1024);
    private final String featuresVersion;

    Scores(Path bundle) throws IOException {
        featuresVersion = featuresVersion(bundle);
    }

    byte[] encode(Event event, float logit) throws IOException {
        double probability = 1.0 / (1.0 + Math.exp(-logit));
        written.reset();
        try (JsonGenerator json = factory.createGenerator(written)) {
            json.writeStartObject();
            json.writeStringField("event_id", event.eventId);
            json.writeStringField("customer_id", event.customerId);
            json.writeNumberField("event_time", event.time);
            json.writeNumberField("scored_at", System.currentTimeMillis());
            json.writeNumberField("purchase_intent", probability);
            json.writeNumberField("horizon_seconds", 1800.0);
            json.writeNumberField("as_of", event.time);
            json.writeNumberField("network_score", probability);
            json.writeNullField("online_score");
            json.writeStringField("band", probability > 0.6 ? "high" : probability > 0.5 ? "medium" : "low");
            json.writeObjectFieldStart("segment");
            json.writeNumberField("id", 0);
            json.writeStringField("name", "visitors");
            json.writeEndObject();
            json.writeArrayFieldStart("reasons");
            json.writeEndArray();
            json.writeStringField("action", "none");
            json.writeBooleanField("holdout", false);
            json.writeStringField("model_version", "benchmark");
            json.writeStringField("features_version", featuresVersion);
            json.writeEndObject();
        }
        return written.toByteArray();
    }

    private String featuresVersion(Path bundle) throws IOException {
        try (JsonParser parser = factory.createParser(bundle.resolve("manifest.json").toFile())) {
            parser.nextToken();
            for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
                parser.nextToken();
                if (name.equals("features_version")) {
                    return parser.getText();
                }
                parser.skipChildren();
            }
        }
        throw new IOException("the bundle's manifest has no features_version");
    }
}
