package bench;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Map;

/** The bundle's network in ONNX Runtime, one thread, for up to {@code rows} customers in a call. */
final class Network {
    private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
    private final OrtSession session;
    private final FloatBuffer vectors;
    private final int width;
    private final float[] logits;

    Network(Path bundle, int rows) throws OrtException {
        OrtSession.SessionOptions options = new OrtSession.SessionOptions();
        options.setIntraOpNumThreads(1);
        session = environment.createSession(bundle.resolve("network.onnx").toString(), options);
        width = (int) ((TensorInfo) session.getInputInfo().get("vector").getInfo()).getShape()[1];
        // Memory outside the heap, which ONNX Runtime reads without a copy.
        vectors = ByteBuffer.allocateDirect(rows * width * 4).order(ByteOrder.nativeOrder()).asFloatBuffer();
        logits = new float[rows];
    }

    /** Sets a row's inputs. */
    void set(int row, Counters counters) {
        counters.write(vectors, row * width);
    }

    /** Returns the log-odds of the first rows, in an array that the next call overwrites. */
    float[] run(int rows) throws OrtException {
        FloatBuffer filled = vectors.duplicate().limit(rows * width);
        try (OnnxTensor tensor = OnnxTensor.createTensor(environment, filled, new long[] {rows, width});
                OrtSession.Result result = session.run(Map.of("vector", tensor))) {
            ((OnnxTensor) result.get(0)).getFloatBuffer().get(logits, 0, rows);
        }
        return logits;
    }
}
