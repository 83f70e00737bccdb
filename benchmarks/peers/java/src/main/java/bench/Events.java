package bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Decodes events: Jackson's stream of tokens, without a tree and without reflection. */
final class Events {
    private final JsonFactory factory = new JsonFactory();
    private final Map<String, Integer> kinds = new HashMap<>();

    Events(List<String> names) {
        for (String name : names) {
            kinds.put(name, kinds.size());
        }
    }

    Event decode(byte[] json) throws IOException {
        Event event = new Event();
        double value = 0.0;
        double price = 0.0;
        try (JsonParser parser = factory.createParser(json)) {
            parser.nextToken();
            for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
                JsonToken token = parser.nextToken();
                switch (name) {
                    case "event_id" -> event.eventId = parser.getText();
                    case "customer_id" -> event.customerId = parser.getText();
                    case "type" -> event.kind = kinds.get(parser.getText());
                    case "event_time" -> event.time = parser.getLongValue();
                    case "value" -> value = token == JsonToken.VALUE_NULL ? 0.0 : parser.getDoubleValue();
                    case "price" -> price = token == JsonToken.VALUE_NULL ? 0.0 : parser.getDoubleValue();
                    default -> parser.skipChildren();
                }
            }
        }
        event.money = value != 0.0 ? value : price;
        return event;
    }
}
