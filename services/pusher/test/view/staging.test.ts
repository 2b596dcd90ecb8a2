import type { Change } from '@watershed/log/fold.ts';
import { XdsRecord, type SharedResource } from '@watershed/model/gen/record.ts';
import { xdsKeys } from '@watershed/model/keys.ts';
import { describe, expect, it } from 'vitest';
import { SharedEntry } from '../../src/view/shared-entry.ts';
import { Staging } from '../../src/view/staging.ts';
import { CDS, EDS } from '../session/support.ts';

function put(
  staging: Staging,
  key: string,
  record: XdsRecord['record'] | undefined,
  epoch: number,
  partition = 0,
): string {
  const value = record === undefined ? undefined : XdsRecord.encode({ record, epoch }).finish();
  const change: Change = { key, value, record: undefined };
  return staging.put(partition, change, epoch);
}

function resource(
  typeUrl: string,
  name: string,
  version: string,
  parts: readonly string[] = [version],
): { readonly $case: 'resource'; readonly value: SharedResource } {
  const value: SharedResource = {
    typeUrl,
    name,
    variant: '',
    version: Buffer.from(version),
    fragments: parts.map((part) => Buffer.from(part)),
    size: 1,
    refs: [],
    aliases: [],
    groups: [],
    inlined: [],
  };
  return { $case: 'resource', value };
}

const key = xdsKeys.resource(CDS, 'a', '');
const mark = (staging: Staging, partition: number, epoch: number): string =>
  put(
    staging,
    xdsKeys.watermark(partition),
    { $case: 'watermark', value: { partition, epoch } },
    epoch,
    partition,
  );

const versions = (changes: ReturnType<Staging['takeCut']>): readonly (string | undefined)[] =>
  [...(changes?.resources.values() ?? [])].map((entry) => entry?.version);
const versionOf = (text: string): string => Buffer.from(text).toString('base64url');

describe('staging', () => {
  it('makes no cut at an epoch that another partition went past in the midst of a pass', () => {
    const staging = new Staging(2);
    mark(staging, 0, 3);
    mark(staging, 1, 3);
    staging.takeCut();
    // One shard takes epochs 4 and 5 one by one, the other both at once.
    put(staging, key, resource(CDS, 'a', '4'), 4, 0);
    mark(staging, 0, 4);
    put(staging, xdsKeys.resource(CDS, 'b', ''), resource(CDS, 'b', '5'), 5, 1);
    mark(staging, 1, 5);
    expect([staging.epoch, staging.ready]).toEqual([3, false]);
    expect(staging.takeCut()).toBeUndefined();
    mark(staging, 0, 5);
    expect(staging.epoch).toBe(5);
    expect(versions(staging.takeCut())).toEqual([versionOf('4'), versionOf('5')]);
  });

  it('makes no cut at an epoch that another partition passed over, though it wrote nothing', () => {
    const staging = new Staging(2);
    for (const partition of [0, 1]) mark(staging, partition, 3);
    staging.takeCut();
    // What the second one would have said of epoch 4 is not on the log: epoch 5 took it back.
    put(staging, key, resource(CDS, 'a', '4'), 4, 0);
    mark(staging, 0, 4);
    mark(staging, 1, 5);
    expect(staging.takeCut()).toBeUndefined();
    put(staging, key, resource(CDS, 'a', '5'), 5, 0);
    mark(staging, 0, 5);
    expect(versions(staging.takeCut())).toEqual([versionOf('5')]);
  });

  it('makes the first cut, too, at an epoch at which all stood', () => {
    const staging = new Staging(2);
    // Read from the log at the start. What the first one says of epoch 4 is in the pass up to 6.
    put(staging, key, resource(CDS, 'a', '3'), 3, 0);
    for (const epoch of [3, 6]) mark(staging, 0, epoch);
    put(staging, xdsKeys.resource(CDS, 'b', ''), resource(CDS, 'b', '4'), 4, 1);
    for (const epoch of [3, 4]) mark(staging, 1, epoch);
    expect(versions(staging.takeCut())).toEqual([versionOf('3')]);
    mark(staging, 1, 6);
    expect(versions(staging.takeCut())).toEqual([versionOf('4')]);
  });

  it('makes a cut at the newest epoch at which all stood, whatever was told since', () => {
    const staging = new Staging(3);
    for (const partition of [0, 1, 2]) mark(staging, partition, 1);
    staging.takeCut();
    put(staging, key, resource(CDS, 'a', '4'), 4);
    for (const epoch of [2, 4, 6, 8]) mark(staging, 0, epoch);
    for (const epoch of [3, 4, 5, 7]) mark(staging, 1, epoch);
    expect(staging.takeCut()).toBeUndefined();
    for (const epoch of [4, 9]) mark(staging, 2, epoch);
    expect(staging.epoch).toBe(4);
    expect(versions(staging.takeCut())).toEqual([versionOf('4')]);
  });

  it('makes cuts again when the watermarks of a log that went back are told', () => {
    const staging = new Staging(2);
    for (const partition of [0, 1]) mark(staging, partition, 9);
    staging.takeCut();
    put(staging, key, resource(CDS, 'a', '5'), 5);
    mark(staging, 0, 5);
    expect(staging.takeCut()).toBeUndefined();
    mark(staging, 1, 5);
    expect(versions(staging.takeCut())).toEqual([versionOf('5')]);
  });

  it('forgets what waits for an epoch that is lost when the log goes back', () => {
    const staging = new Staging(1);
    staging.takeCut();
    put(staging, key, resource(CDS, 'a', 'lost'), 9);
    put(staging, key, resource(CDS, 'a', 'again'), 4);
    mark(staging, 0, 4);
    expect(versions(staging.takeCut())).toEqual([versionOf('again')]);
    mark(staging, 0, 9);
    expect(staging.takeCut()).toBeUndefined();
    expect(staging.pending).toBe(false);
  });

  it('holds configuration until every partition has passed its epoch', () => {
    const staging = new Staging(2);
    expect(put(staging, key, resource(CDS, 'a', '1'), 5)).toBe('config');
    expect(mark(staging, 0, 5)).toBe('watermark');
    expect(staging.takeCut()).toBeUndefined();
    expect(staging.waitingSinceMs).toBe(5);
    mark(staging, 1, 5);
    expect(staging.ready).toBe(true);
    expect(versions(staging.takeCut())).toEqual([versionOf('1')]);
    expect([staging.pending, staging.waitingSinceMs]).toEqual([false, undefined]);
  });

  it('gives a cut the version of its epoch, though a later one has arrived', () => {
    const staging = new Staging(1);
    put(staging, key, resource(CDS, 'a', '1'), 5);
    put(staging, key, resource(CDS, 'a', '2'), 7);
    mark(staging, 0, 5);
    expect(versions(staging.takeCut())).toEqual([versionOf('1')]);
    mark(staging, 0, 7);
    expect(versions(staging.takeCut())).toEqual([versionOf('2')]);
  });

  it('gives a cut over several epochs the newest of each key', () => {
    const staging = new Staging(1);
    put(staging, key, resource(CDS, 'a', '1'), 5);
    put(staging, key, resource(CDS, 'a', '2'), 7);
    mark(staging, 0, 9);
    expect(versions(staging.takeCut())).toEqual([versionOf('2')]);
  });

  it('lets endpoints through, and drops what they replace', () => {
    const staging = new Staging(1);
    const eds = xdsKeys.resource(EDS, 'a', '');
    put(staging, eds, resource(EDS, 'a', '1'), 5);
    expect(put(staging, eds, resource(EDS, 'a', '2'), 0)).toBe('endpoints');
    expect(versions(staging.takeImmediate())).toEqual([versionOf('2')]);
    mark(staging, 0, 5);
    expect(staging.takeCut()).toBeUndefined();
  });

  it('takes an assignment that has lost all it had with the configuration that has come', () => {
    const eds = xdsKeys.resource(EDS, 'a', '');
    const full = SharedEntry.of(resource(EDS, 'a', '1', ['head', 'locality']).value, eds);
    const staging = new Staging(1, (asked) => (asked === eds ? full : undefined));
    put(staging, key, resource(CDS, 'a', '1'), 5);
    expect(put(staging, eds, resource(EDS, 'a', '2'), 0)).toBe('config');
    expect(staging.takeImmediate()).toBeUndefined();
    mark(staging, 0, 5);
    expect(versions(staging.takeCut()).toSorted()).toEqual([versionOf('1'), versionOf('2')]);
    // Where nothing has come, with what is about to.
    expect(put(staging, eds, resource(EDS, 'a', '3'), 0)).toBe('config');
    expect(staging.takeImmediate()).toBeUndefined();
    expect(versions(staging.takeCut())).toEqual([versionOf('3')]);
    // And what is full again is so at once.
    put(staging, eds, resource(EDS, 'a', '4'), 0);
    expect(put(staging, eds, resource(EDS, 'a', '5', ['head', 'more']), 0)).toBe('endpoints');
    expect(versions(staging.takeImmediate())).toEqual([versionOf('5')]);
    expect(staging.takeCut()).toBeUndefined();
  });

  it('keeps what ended until every partition has passed the epoch in which it did', () => {
    const staging = new Staging(2);
    const eds = xdsKeys.resource(EDS, 'a', '');
    put(staging, eds, resource(EDS, 'a', '1'), 0);
    mark(staging, 0, 4);
    expect(put(staging, eds, undefined, 0)).toBe('other');
    mark(staging, 0, 5);
    // The other partition, with the manifest that lists it, is behind.
    put(staging, key, resource(CDS, 'a', '1'), 4, 1);
    mark(staging, 1, 4);
    expect(versions(staging.takeCut())).toEqual([versionOf('1'), versionOf('1')]);
    expect(staging.takeImmediate()).toBeUndefined();
    put(staging, key, undefined, 0, 1);
    mark(staging, 1, 5);
    expect([...(staging.takeCut()?.resources.keys() ?? [])].toSorted()).toEqual([key, eds]);
  });

  it('an assignment that ends and comes back before the cut is there', () => {
    const staging = new Staging(2);
    const eds = xdsKeys.resource(EDS, 'a', '');
    for (const at of [4, 5]) {
      put(staging, eds, undefined, 0);
      mark(staging, 0, at);
    }
    put(staging, eds, undefined, 0);
    put(staging, eds, resource(EDS, 'a', '2'), 0);
    mark(staging, 0, 6);
    mark(staging, 1, 6);
    expect(versions(staging.takeCut())).toEqual([versionOf('2')]);
  });

  it('what was swept with its watermark, as the log went back, and is told again at once stays', () => {
    const staging = new Staging(1);
    mark(staging, 0, 5);
    put(staging, key, undefined, 0);
    staging.put(0, { key: 'w|0', value: undefined, record: undefined }, 0);
    put(staging, key, resource(CDS, 'a', '2'), 0);
    mark(staging, 0, 1);
    expect(versions(staging.takeCut())).toEqual([versionOf('2')]);
  });

  it('what ended, came back and was served as overdue stays', () => {
    const staging = new Staging(2);
    put(staging, key, undefined, 0);
    mark(staging, 0, 5);
    put(staging, key, resource(CDS, 'a', '2'), 6);
    expect(versions(staging.takeOverdue())).toEqual([versionOf('2')]);
    mark(staging, 0, 6);
    mark(staging, 1, 6);
    expect(staging.takeCut()).toBeUndefined();
  });

  it('does not let what ended go where a watermark is overdue', () => {
    const staging = new Staging(2);
    put(staging, key, undefined, 0);
    mark(staging, 0, 5);
    expect(staging.takeOverdue()).toBeUndefined();
    expect([staging.pending, staging.waitingSinceMs]).toEqual([true, undefined]);
    mark(staging, 1, 5);
    expect(versions(staging.takeCut())).toEqual([undefined]);
  });

  it('lets what is in no order go at once', () => {
    const staging = new Staging(1);
    const workload = xdsKeys.resource('type.googleapis.com/istio.workload.Address', 'a', '');
    expect(put(staging, workload, undefined, 0)).toBe('endpoints');
    expect(versions(staging.takeImmediate())).toEqual([undefined]);
  });

  it('after a start goes on waiting where the log says that it began', () => {
    const staging = new Staging(2);
    const at = (name: string, timestampMs: number): void => {
      const value = XdsRecord.encode({ record: resource(CDS, name, '1'), epoch: 4 }).finish();
      const record = { key: '', value, offset: 0, timestampMs, headers: {} };
      staging.put(0, { key: xdsKeys.resource(CDS, name, ''), value, record }, 100);
    };
    mark(staging, 0, 3);
    mark(staging, 1, 3);
    at('old', 50_000);
    at('new', 57_000);
    expect(staging.waitingSinceMs).toBe(100);
    staging.begin(100);
    // By the log's time it is 57,000: nobody's clock tells more.
    expect(staging.waitingSinceMs).toBe(-6_900);
    at('newer', 58_000);
    expect(staging.waitingSinceMs).toBe(-6_900);
  });

  it('serves what is overdue once, and keeps manifests for their removals', () => {
    const staging = new Staging(2);
    put(staging, key, resource(CDS, 'a', '1'), 5);
    const value = { scope: 's', content: Buffer.from('c'), scopeClass: undefined };
    put(staging, xdsKeys.manifest('s'), { $case: 'manifest', value }, 5);
    const overdue = staging.takeOverdue();
    expect([overdue?.resources.size, overdue?.manifests.size]).toEqual([1, 1]);
    expect(staging.takeOverdue()).toBeUndefined();
    expect([staging.pending, staging.waitingSinceMs]).toEqual([true, undefined]);
    for (const partition of [0, 1]) mark(staging, partition, 5);
    const cut = staging.takeCut();
    expect([cut?.resources.size, cut?.manifests.size]).toEqual([0, 1]);
  });

  it('is not moved by a watermark that says the same again', () => {
    const staging = new Staging(1);
    mark(staging, 0, 5);
    expect(mark(staging, 0, 5)).toBe('other');
  });

  it('tells of manifests that were replaced before they were taken', () => {
    const staging = new Staging(1);
    for (const [at, content] of ['aa', 'bb', 'cc'].entries()) {
      const value = { scope: 's', content: Buffer.from(content, 'hex'), scopeClass: undefined };
      put(staging, xdsKeys.manifest('s'), { $case: 'manifest', value }, at + 1);
    }
    mark(staging, 0, 3);
    const changes = staging.takeCut();
    expect(changes?.manifests.get('s')?.content).toBe('cc');
    expect(changes?.superseded.get('s')).toEqual(['aa', 'bb']);
  });

  it('takes a record that comes after a tombstone for what it is: newer', () => {
    const staging = new Staging(1);
    put(staging, key, resource(CDS, 'a', '1'), 5);
    put(staging, key, undefined, 0);
    put(staging, key, resource(CDS, 'a', '2'), 5);
    mark(staging, 0, 5);
    expect(versions(staging.takeCut())).toEqual([versionOf('2')]);
    put(staging, key, undefined, 0);
    put(staging, key, resource(CDS, 'a', '3'), 6);
    expect(staging.takeCut()).toBeUndefined();
    mark(staging, 0, 6);
    expect(versions(staging.takeCut())).toEqual([versionOf('3')]);
  });
});
