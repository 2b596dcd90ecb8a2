import { OtlpReceiver } from './harness/otlp-receiver.ts';
import { tracesSuite } from './suites/traces.ts';

tracesSuite(() => OtlpReceiver.start());
