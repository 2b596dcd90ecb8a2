import { startKafka, type Kafka, type KafkaOptions } from 'xdsctl/components/kafka.ts';
import { testCache, testProgress } from './cache.ts';

/** A real Kafka, fetched into the suite's cache. */
export function startTestKafka(
  options: Omit<KafkaOptions, 'cache' | 'progress'> = {},
): Promise<Kafka> {
  return startKafka({ ...options, cache: testCache, progress: testProgress });
}

export type TestKafka = Kafka;
