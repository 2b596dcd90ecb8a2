import { ConfigResourceTypes, createTopicsV7, describeConfigsV4 } from '@platformatic/kafka';
import { LogError } from '../port.ts';
import type { Retention, TopicSpec } from '../port.ts';
import type { KafkaClient, TopicMetadata } from './client.ts';
import { answer } from './codec.ts';
import { code, refusal } from './failure.ts';

export interface TopicCreation {
  /** -1: the cluster's default. */
  readonly replicationFactor: number;
  readonly maxRecordBytes: number;
  /** More of a topic's configuration, for those that are created. */
  readonly config: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

/** A batch's own head and the lengths within it. */
const batchOverheadBytes = 1_024;

/** Creates the topic if it is absent; fails if it is there and differs in what matters. */
export async function ensureTopic(
  client: KafkaClient,
  spec: TopicSpec,
  creation: TopicCreation,
): Promise<void> {
  const what = `create topic ${spec.name}`;
  await client.retry(what, undefined, creation.timeoutMs, async () => {
    const topic = (await client.refresh(spec.name)) ?? (await create(client, spec, creation));
    if (topic.leaders.length !== spec.partitions) {
      throw mismatch(
        `topic ${spec.name} has ${topic.leaders.length} partitions, not ${spec.partitions}: ` +
          'the number is fixed, another one needs another topic',
      );
    }
    if (topic.leaders.includes(-1)) {
      throw new LogError('unavailable', `kafka: topic ${spec.name} has no leaders yet`, {
        retriable: true,
      });
    }
    const retention = await retentionOf(client, spec.name);
    if (retention !== undefined && retention.kind !== spec.retention.kind) {
      throw mismatch(
        `topic ${spec.name} is kept by ${retention.kind === 'time' ? 'time' : 'compaction'} ` +
          '(cleanup.policy), which would lose records that are needed',
      );
    }
  });
}

async function create(
  client: KafkaClient,
  spec: TopicSpec,
  creation: TopicCreation,
): Promise<TopicMetadata> {
  const config: Record<string, string> = {
    ...retentionConfig(spec.retention),
    'max.message.bytes': String(creation.maxRecordBytes + batchOverheadBytes),
    // The log's time, not the writer's: it goes forward along the offsets.
    'message.timestamp.type': 'LogAppendTime',
    'unclean.leader.election.enable': 'false',
    ...creation.config,
  };
  const topic = {
    name: spec.name,
    numPartitions: spec.partitions,
    replicationFactor: creation.replicationFactor,
    assignments: [],
    configs: Object.entries(config).map(([name, value]) => ({ name, value })),
  };
  const connection = await client.any();
  const { topics } = await answer(
    createTopicsV7.api.async(connection, [topic], creation.timeoutMs, false),
  );
  const result = topics[0];
  const errorCode = result?.errorCode ?? -1;
  if (errorCode !== code.none && errorCode !== code.topicAlreadyExists) {
    throw refusal(errorCode, `create topic ${spec.name}`, {
      needs: 'CREATE',
      detail: result?.errorMessage,
    });
  }
  const created = await client.refresh(spec.name);
  if (created !== undefined) return created;
  throw new LogError('unavailable', `kafka: topic ${spec.name} is not known to all brokers yet`, {
    retriable: true,
  });
}

function retentionConfig(retention: Retention): Record<string, string> {
  return retention.kind === 'compact'
    ? { 'cleanup.policy': 'compact', 'delete.retention.ms': String(retention.tombstoneMs) }
    : { 'cleanup.policy': 'delete', 'retention.ms': String(retention.ms) };
}

/** As the cluster has it. `undefined`: this client may not know. */
export async function retentionOf(
  client: KafkaClient,
  topic: string,
): Promise<Retention | undefined> {
  const connection = await client.any();
  const { results } = await answer(
    describeConfigsV4.api.async(
      connection,
      [
        {
          resourceType: ConfigResourceTypes.TOPIC,
          resourceName: topic,
          configurationKeys: ['cleanup.policy', 'delete.retention.ms', 'retention.ms'],
        },
      ],
      false,
      false,
    ),
  );
  const result = results[0];
  if (result === undefined) return undefined;
  if (
    result.errorCode === code.topicAuthorizationFailed ||
    result.errorCode === code.clusterAuthorizationFailed
  ) {
    return undefined;
  }
  if (result.errorCode !== code.none) {
    throw refusal(result.errorCode, `describe topic ${topic}`, {
      needs: 'DESCRIBE',
      detail: result.errorMessage,
    });
  }
  const config = new Map(result.configs.map(({ name, value }) => [name, value ?? '']));
  return config.get('cleanup.policy') === 'compact'
    ? { kind: 'compact', tombstoneMs: Number(config.get('delete.retention.ms')) }
    : { kind: 'time', ms: Number(config.get('retention.ms')) };
}

function mismatch(message: string): LogError {
  return new LogError('partition-mismatch', message, { retriable: false });
}
