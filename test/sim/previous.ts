/** Processes of the previous schema: they know nothing of the fields that were added since. */
import type { Append, Log, LogRecord } from '@watershed/log/port.ts';
import { Feedback, XdsRecord } from '@watershed/model/gen/record.ts';
import { topics } from '@watershed/model/keys.ts';

/** The log as such a process reads it and writes it. */
export function previousSchema(log: Log): Log {
  return {
    ensureTopics: (specs) => log.ensureTopics(specs),
    append: (records) => log.append(records.map(before<Append>)),
    async *read(topic, partition, from, signal) {
      for await (const batch of log.read(topic, partition, from, signal)) {
        const records = batch.records.map((record) => {
          const { value } = before<LogRecord & { topic: string }>({ ...record, topic });
          return { ...record, value };
        });
        yield { ...batch, records };
      }
    },
    end: (topic, partition) => log.end(topic, partition),
    close: () => log.close(),
  };
}

interface Written {
  readonly topic: string;
  readonly value: Uint8Array | undefined;
}

function before<T extends Written>(one: T): T {
  const { topic, value } = one;
  if (value === undefined) return one;
  if (topic === topics.xds) return { ...one, value: withoutInlined(value) };
  return topic === topics.feedback ? { ...one, value: withoutAbility(value) } : one;
}

function withoutInlined(value: Uint8Array): Uint8Array {
  const { record, epoch } = XdsRecord.decode(value);
  if (record?.$case !== 'resource' || record.value.inlined.length === 0) return value;
  const bare = { ...record, value: { ...record.value, inlined: [] } };
  return XdsRecord.encode({ record: bare, epoch }).finish();
}

function withoutAbility(value: Uint8Array): Uint8Array {
  const { report } = Feedback.decode(value);
  if (report?.$case !== 'pusher') return value;
  const bare = { ...report, value: { ...report.value, readsInlined: false } };
  return Feedback.encode({ report: bare }).finish();
}
