/**
 * The bench in the translators' place: it appends records of `xds` as they do, without generating
 * what is in them.
 */
import { digestOf } from '@watershed/blob/digest.ts';
import { OwnedPartition } from '@watershed/log/owned.ts';
import { encodeEpoch, epochHeader } from '@watershed/log/ownership.ts';
import type { Append, Log } from '@watershed/log/port.ts';
import { XdsRecord, type SharedResource } from '@watershed/model/gen/record.ts';
import { topics } from '@watershed/model/keys.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { ClusterLoadAssignment } from '@watershed/proto/envoy/config/endpoint/v3/endpoint.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { contentOf, recordOf } from '@watershed/translator/engine/builder.ts';
import { stampedAddress, stampNow, type Source, type Target } from './messages.ts';

interface Assignment extends Target {
  readonly key: string;
  readonly partition: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly template: Template;
}

/** A record, and where in it that is what a changed address changes. */
interface Template {
  readonly value: Buffer;
  readonly address: number;
  /** The assignment: its digest is in the record, and that one's is the version. */
  readonly message: number;
  readonly messageEnd: number;
  readonly digest: number;
  readonly version: number;
}

export class Records implements Source<Assignment> {
  readonly #log: Log;
  readonly targets: readonly Assignment[];

  private constructor(log: Log, targets: readonly Assignment[]) {
    this.#log = log;
    this.targets = targets;
  }

  /**
   * Takes over from the translators, which must have stopped. One record for each assignment of
   * small size; variants apart.
   */
  static async open(log: Log, partitions: number): Promise<Records> {
    const targets: Assignment[] = [];
    for (let partition = 0; partition < partitions; partition++) {
      const how = { log, topic: topics.xds, partition, writer: 'bench', time: systemTime };
      const owned = await OwnedPartition.open(how);
      const headers = { [epochHeader]: encodeEpoch(owned.epoch, undefined) };
      for (const [key, value] of owned.entries()) {
        const { record } = XdsRecord.decode(value);
        if (record?.$case !== 'resource') continue;
        const template = templateOf(record.value);
        if (template === undefined) continue;
        const { name } = record.value;
        targets.push({ name, template, key, partition, headers, stamp: 0 });
      }
      // The claim stands; what is appended need not be read back.
      await owned.close();
    }
    return new Records(log, targets);
  }

  async write(targets: readonly Assignment[]): Promise<void> {
    const stamp = stampNow();
    const address = stampedAddress(stamp);
    await this.#log.append(targets.map((one) => changed(one, stamp, address)));
  }
}

/** `undefined`: it is no small assignment. */
function templateOf(resource: SharedResource): Template | undefined {
  const { typeUrl, inlined } = resource;
  if (typeUrl !== resourceTypes.endpoint || inlined.length === 0) return undefined;
  const message = ClusterLoadAssignment.decode(Buffer.concat(inlined));
  const endpoint = message.endpoints[0]?.lbEndpoints[0]?.hostIdentifier;
  const address = endpoint?.$case === 'endpoint' ? endpoint.value.address?.address : undefined;
  if (address?.$case !== 'socketAddress') return undefined;
  address.value.address = stampedAddress(0);
  const bytes = ClusterLoadAssignment.encode(message).finish();
  const digest = digestOf(bytes);
  const content = { ...contentOf(resource), fragments: [digest], size: bytes.length };
  const made = recordOf(resource, { ...content, inlined: [bytes] });
  const record = { $case: 'resource', value: made } as const;
  const value = Buffer.from(XdsRecord.encode({ record, epoch: 0 }).finish());
  const start = value.indexOf(bytes);
  return {
    value,
    address: value.indexOf(stampedAddress(0)),
    message: start,
    messageEnd: start + bytes.length,
    digest: value.indexOf(digest, 0, 'hex'),
    version: value.indexOf(made.version),
  };
}

/** What a translator writes, for less than it costs to generate it. */
function changed(one: Assignment, stamp: number, address: string): Append {
  one.stamp = stamp;
  const { template, key, partition, headers } = one;
  const value = Buffer.from(template.value);
  value.write(address, template.address, 'latin1');
  const digest = digestOf(value.subarray(template.message, template.messageEnd));
  value.write(digest, template.digest, 'hex');
  value.write(digestOf(digest), template.version, 'hex');
  return { topic: topics.xds, partition, key, value, headers };
}
