/** Processes of the previous schema: they know nothing of the fields that were added since. */
import type { Log } from '@watershed/log/port.ts';
import { Feedback, XdsRecord } from '@watershed/model/gen/record.ts';
import { topics } from '@watershed/model/keys.ts';

/**
 * The log as such a process reads it and writes it. What it only hands on, as the repair of a value
 * that another one wrote, is the bytes that it read, with all that is in them.
 */
export function previousSchema(log: Log): Log {
  const read = new WeakMap<Uint8Array, Uint8Array>();
  const known = (topic: string, value: Uint8Array | undefined): Uint8Array | undefined => {
    if (value === undefined) return undefined;
    const bare = before(topic, value);
    read.set(bare, value);
    return bare;
  };
  const written = (topic: string, value: Uint8Array | undefined): Uint8Array | undefined =>
    value === undefined ? undefined : (read.get(value) ?? before(topic, value));
  return {
    ensureTopics: (specs) => log.ensureTopics(specs),
    append: (records) =>
      log.append(records.map((one) => ({ ...one, value: written(one.topic, one.value) }))),
    async *read(topic, partition, from, signal, options) {
      for await (const batch of log.read(topic, partition, from, signal, options)) {
        const records = batch.records.map((one) => ({ ...one, value: known(topic, one.value) }));
        yield { ...batch, records };
      }
    },
    end: (topic, partition) => log.end(topic, partition),
    close: () => log.close(),
  };
}

function before(topic: string, value: Uint8Array): Uint8Array {
  if (topic === topics.xds) return withoutInlined(value);
  return topic === topics.feedback ? withoutAbility(value) : value;
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
