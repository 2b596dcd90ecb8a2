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
  readonly resource: SharedResource;
  readonly message: ClusterLoadAssignment;
  /** Of the message: the one that changes. */
  readonly address: { address: string };
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
      for (const key of owned.keys()) {
        const { record } = XdsRecord.decode(owned.get(key) ?? new Uint8Array());
        if (record?.$case !== 'resource') continue;
        const found = changeable(record.value);
        if (found !== undefined) targets.push({ ...found, key, partition, headers, stamp: 0 });
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

function changeable(
  resource: SharedResource,
): Pick<Assignment, 'name' | 'resource' | 'message' | 'address'> | undefined {
  const { typeUrl, name, inlined } = resource;
  if (typeUrl !== resourceTypes.endpoint || inlined.length === 0) return undefined;
  const message = ClusterLoadAssignment.decode(Buffer.concat(inlined));
  const endpoint = message.endpoints[0]?.lbEndpoints[0]?.hostIdentifier;
  const address = endpoint?.$case === 'endpoint' ? endpoint.value.address?.address : undefined;
  if (address?.$case !== 'socketAddress') return undefined;
  return { name, resource, message, address: address.value };
}

function changed(one: Assignment, stamp: number, address: string): Append {
  one.stamp = stamp;
  one.address.address = address;
  const bytes = ClusterLoadAssignment.encode(one.message).finish();
  const content = contentOf(one.resource);
  const made = { ...content, fragments: [digestOf(bytes)], size: bytes.length, inlined: [bytes] };
  const record = { $case: 'resource', value: recordOf(one.resource, made) } as const;
  const value = XdsRecord.encode({ record, epoch: 0 }).finish();
  const { key, partition, headers } = one;
  return { topic: topics.xds, partition, key, value, headers };
}
