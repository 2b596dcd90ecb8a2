/** A type of which a scope has all: no manifest lists it, so one resource is one record. */
import { xdsKeys } from '@watershed/model/keys.ts';
import { digestOf } from '@watershed/blob/digest.ts';
import { memoryBlobs } from '@watershed/blob/memory.ts';
import { ManifestContent, SharedResource } from '@watershed/model/gen/record.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { expect, it } from 'vitest';
import { Assignments } from '../../src/view/assignments.ts';
import { BlobLoader } from '../../src/view/blob-loader.ts';
import type { ScopeView } from '../../src/view/scope-view.ts';
import { Scopes } from '../../src/view/scopes.ts';
import { SharedEntry } from '../../src/view/shared-entry.ts';

const typeUrl = 'type.googleapis.com/own.Address';

function whole() {
  const time = new VirtualTime();
  const blobs = memoryBlobs();
  const views: ScopeView[] = [];
  const onNone = (): void => undefined;
  const scopes = new Scopes({
    loader: new BlobLoader({
      blobs,
      timers: time,
      tracing: noTracing,
      onMissing: onNone,
    }),
    assignments: new Assignments(),
    blobs,
    clock: time,
    timers: time,
    onView: (view) => views.push(view),
  });
  const keys = new Map<string, string>();
  const apply = async (
    changes: Readonly<Record<string, string | undefined>>,
    types?: readonly string[],
  ): Promise<void> => {
    const resources = new Map<string, SharedEntry | undefined>();
    for (const [name, version] of Object.entries(changes)) {
      if (version === undefined) {
        resources.set(keys.get(name) ?? '', undefined);
        continue;
      }
      const bytes = new TextEncoder().encode(`${name} ${version}`);
      const digest = digestOf(bytes);
      await blobs.put([{ digest, bytes }]);
      const fragment = Buffer.from(digest, 'hex');
      const record = { typeUrl, name, version: fragment, fragments: [fragment], size: 1 };
      const entry = SharedEntry.of(
        SharedResource.fromPartial(record),
        xdsKeys.resource(typeUrl, name, ''),
      );
      keys.set(name, entry.key);
      resources.set(entry.key, entry);
    }
    const manifests = new Map<string, { scope: string; content: string }>();
    if (types !== undefined) {
      const listed = types.map((of) => ({ typeUrl: of, shared: [], own: [], whole: true }));
      const bytes = ManifestContent.encode({ types: listed }).finish();
      await blobs.put([{ digest: digestOf(bytes), bytes }]);
      manifests.set('scope', { scope: 'scope', content: digestOf(bytes) });
    }
    const none = { selectors: new Map<string, undefined>(), superseded: new Map<string, never>() };
    const rest = { ...none, trace: undefined, sinceMs: 0 };
    scopes.apply({ resources, manifests, ...rest }, 1);
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  };
  const names = (): readonly string[] => {
    const found: string[] = [];
    views
      .at(-1)
      ?.types.get(typeUrl)
      ?.each((entry) => found.push(entry.name));
    return found.sort();
  };
  scopes.acquire('scope');
  return { apply, names, views };
}

it('shows what was there before, what comes, and not what is gone', async () => {
  const { apply, names, views } = whole();
  await apply({ a: '1', b: '1' });
  expect(views).toEqual([]);
  await apply({ c: '1' }, [typeUrl]);
  expect(names()).toEqual(['a', 'b', 'c']);
  await apply({ d: '1' });
  expect(names()).toEqual(['a', 'b', 'c', 'd']);
  await apply({ a: undefined, b: '2' });
  expect(names()).toEqual(['b', 'c', 'd']);
  expect(views.length).toBe(3);
});

it('is shown without a single resource, and again when all are gone', async () => {
  const { apply, names, views } = whole();
  await apply({}, [typeUrl]);
  expect(views.length).toBe(1);
  await apply({ a: '1' });
  expect(names()).toEqual(['a']);
  await apply({ a: undefined });
  expect(names()).toEqual([]);
  expect(views.length).toBe(3);
});

it('a record that goes and comes back is there, and one that never was is none', async () => {
  const { apply, names, views } = whole();
  await apply({ a: '1' }, [typeUrl]);
  await apply({ a: undefined });
  await apply({ a: '1' });
  await apply({ never: undefined });
  expect(names()).toEqual(['a']);
  expect(views.length).toBe(3);
});
