import { startTestKafka } from '../../components/kafka.ts';
import type { Kafka } from 'xdsctl/components/kafka.ts';

/** The logs that the whole is tested on. */
export type LogKind = 'embedded' | 'kafka';

/** What a control plane needs of its log. */
export interface TestLog extends AsyncDisposable {
  /** Flags of the process. */
  readonly args: readonly string[];
  stop(): Promise<void>;
}

/** A log of its own: a broker for Kafka, nothing for the embedded one, which is in the process. */
export async function startLog(kind: LogKind): Promise<TestLog> {
  const kafka: Kafka | undefined = kind === 'kafka' ? await startTestKafka() : undefined;
  const stop = async (): Promise<void> => kafka?.stop();
  return {
    args: kafka === undefined ? [] : ['--kafkaBrokers', kafka.brokers.join(',')],
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
