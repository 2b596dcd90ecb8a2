/** The topics of a Watershed, as every process must agree on them. A partition count is for ever. */
import { topics } from '@watershed/model/keys.ts';
import type { TopicSpec } from './port.ts';

const hourMs = 3_600_000;

/** A position older than its topic's tombstones means reading all of it again. */
const tombstoneMs = 24 * hourMs;

export interface TopicPartitions {
  /** Of `endpoints` and of `xds` alike. At least 64 where several shards share them. */
  readonly shards: number;
}

export function topicSpecs({ shards }: TopicPartitions): readonly TopicSpec[] {
  const compacted = { kind: 'compact', tombstoneMs } as const;
  return [
    // One: its offset is the epoch, and every shard reads all of it anyway.
    { name: topics.config, partitions: 1, retention: compacted },
    { name: topics.endpoints, partitions: shards, retention: compacted },
    // One: who reads it, an ingester that starts, reads all of it.
    { name: topics.objects, partitions: 1, retention: compacted },
    { name: topics.xds, partitions: shards, retention: compacted },
    { name: topics.feedback, partitions: 1, retention: { kind: 'compact', tombstoneMs: hourMs } },
    { name: topics.history, partitions: 1, retention: { kind: 'time', ms: 7 * 24 * hourMs } },
  ];
}
