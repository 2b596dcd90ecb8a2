import { JaegerCollector } from './harness/jaeger-collector.ts';
import { tracesSuite } from './suites/traces.ts';

tracesSuite(() => JaegerCollector.start());
