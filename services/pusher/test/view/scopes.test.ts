import { digestOf } from '@watershed/blob/digest.ts';
import { memoryBlobs } from '@watershed/blob/memory.ts';
import { ManifestContent } from '@watershed/model/gen/record.ts';
import { xdsKeys } from '@watershed/model/keys.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { expect, it } from 'vitest';
import { Assignments } from '../../src/view/assignments.ts';
import { BlobLoader } from '../../src/view/blob-loader.ts';
import type { ScopeView } from '../../src/view/scope-view.ts';
import { Scopes } from '../../src/view/scopes.ts';
import { SharedEntry } from '../../src/view/shared-entry.ts';

const { cluster, route } = resourceTypes;

const nothing = {
  resources: new Map(),
  manifests: new Map(),
  superseded: new Map(),
  selectors: new Map(),
  trace: undefined,
  sinceMs: 0,
};

function entryOf(typeUrl: string, name: string, variant: string, text: string, inlined = false) {
  const bytes = new TextEncoder().encode(text);
  const digest = digestOf(bytes);
  const names = { typeUrl, name, variant, refs: [], aliases: [], groups: [] };
  const version = Buffer.from(digest, 'hex');
  const content = { inlined: inlined ? [bytes] : [], size: bytes.length, fragments: [version] };
  const entry = SharedEntry.of(
    { ...names, ...content, version },
    xdsKeys.resource(typeUrl, name, variant),
  );
  return { entry, blob: { digest, bytes } };
}

/**
 * Scopes over blobs in memory; `apply` shows one scope the clusters `name → variant`. `inlined`:
 * their bytes are in their records, and nowhere else.
 */
function scopes(inlined = false) {
  const time = new VirtualTime();
  const blobs = memoryBlobs();
  const views: ScopeView[] = [];
  const under = new Scopes({
    blobs,
    loader: new BlobLoader({
      blobs,
      timers: time,
      tracing: noTracing,
      onMissing: () => undefined,
    }),
    assignments: new Assignments(),
    clock: time,
    timers: time,
    onView: (view) => views.push(view),
  });
  under.acquire('scope');
  const written = new Set<string>();
  const idle = (): Promise<void> =>
    new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  const apply = async (listed: Readonly<Record<string, string>>): Promise<void> => {
    const resources = new Map<string, SharedEntry>();
    for (const [name, variant] of Object.entries(listed)) {
      // The content does not depend on the variant.
      const { entry, blob } = entryOf(cluster, name, variant, `content of ${name}`, inlined);
      if (!inlined) await blobs.put([blob]);
      if (!written.has(entry.key)) resources.set(entry.key, entry);
      written.add(entry.key);
    }
    const shared = Object.entries(listed).map(([name, variant]) => ({ name, variant }));
    const types = [{ typeUrl: cluster, shared, own: [], whole: false }];
    const content = ManifestContent.encode({ types }).finish();
    await blobs.put([{ digest: digestOf(content), bytes: content }]);
    under.apply(
      {
        ...nothing,
        resources,
        manifests: new Map([['scope', { scope: 'scope', content: digestOf(content) }]]),
      },
      1,
    );
    await idle();
  };
  return { apply, views, under, written, blobs, idle, time };
}

it('shows a variant of equal content with its bytes', async () => {
  const { apply, views } = scopes();
  await apply({ a: 'with a policy', b: '' });
  await apply({ a: '', b: '' });
  await apply({ a: '', b: '', c: '' });
  const found: Record<string, boolean> = {};
  views
    .at(-1)
    ?.types.get(cluster)
    ?.each(({ name, fragments }) => {
      found[name] = fragments !== undefined;
    });
  // Without bytes it would be left out of what clients are sent.
  expect(found).toEqual({ a: true, b: true, c: true });
});

it('shows what is inlined without the blob store, also after nobody used it for a while', async () => {
  const { apply, views, under } = scopes(true);
  await apply({ a: '', b: '' });
  under.release('scope');
  under.acquire('scope');
  await apply({ a: '' });
  const texts: (string | undefined)[] = [];
  views
    .at(-1)
    ?.types.get(cluster)
    ?.each(({ fragments }) =>
      texts.push(fragments?.map((one) => Buffer.from(one).toString()).join()),
    );
  expect(texts).toEqual(['content of a']);
});

it('knows what a scope listed before, with the bytes, as far as it is still on the log', async () => {
  const { apply, under } = scopes();
  const former = async (): Promise<readonly (readonly [string, string | undefined])[]> => {
    const found: [string, string | undefined][] = [];
    (await under.formerViews('scope'))[0]?.each(({ name, fragments }) => {
      found.push([name, fragments?.map((one) => Buffer.from(one).toString()).join()]);
    });
    return found.sort();
  };
  await apply({ a: '', b: 'x' });
  expect(await former()).toEqual([]);
  await apply({ a: '', c: '' });
  await apply({ a: '' });
  expect(await former()).toEqual([
    ['b', 'content of b'],
    ['c', 'content of c'],
  ]);
  const gone = new Map([[xdsKeys.resource(cluster, 'c', ''), undefined]]);
  under.apply({ ...nothing, resources: gone }, 1);
  expect(await former()).toEqual([['b', 'content of b']]);
  // Listed again: nobody loses it.
  await apply({ a: '', b: 'x' });
  expect(await former()).toEqual([]);
});

it('is complete when a record that the log had lost is back, while its old value stood in', async () => {
  const { apply, under, written } = scopes();
  const key = xdsKeys.resource(cluster, 'a', '');
  await apply({ a: '' });
  under.apply({ ...nothing, resources: new Map([[key, undefined]]) }, 1);
  await apply({ a: '', b: '' });
  expect(under.complete('scope')).toBe(false);
  written.delete(key);
  await apply({ a: '', b: '' });
  expect(under.complete('scope')).toBe(true);
});

it('shows a cut as a whole, also to a scope whose manifest comes after another one of it', async () => {
  const { views, under, blobs, idle } = scopes();
  const manifestOf = async (scope: string, clusters: readonly string[]) => {
    const lists = [
      [cluster, clusters],
      [route, ['table']],
    ] as const;
    const types = lists.map(([typeUrl, names]) => {
      const shared = names.map((name) => ({ name, variant: '' }));
      return { typeUrl, shared, own: [], whole: false };
    });
    const bytes = ManifestContent.encode({ types }).finish();
    await blobs.put([{ digest: digestOf(bytes), bytes }]);
    return [scope, { scope, content: digestOf(bytes) }] as const;
  };
  const cut = async (
    entries: readonly ReturnType<typeof entryOf>[],
    manifests: readonly Promise<Awaited<ReturnType<typeof manifestOf>>>[],
  ): Promise<void> => {
    await blobs.put(entries.map(({ blob }) => blob));
    const resources = new Map(entries.map(({ entry }) => [entry.key, entry]));
    under.apply({ ...nothing, resources, manifests: new Map(await Promise.all(manifests)) }, 1);
    await idle();
  };
  under.acquire('first');
  await cut(
    [
      ...['a', 'b', 'c'].map((name) => entryOf(cluster, name, '', name)),
      entryOf(route, 'table', '', 'to b', true),
    ],
    [manifestOf('first', ['a']), manifestOf('scope', ['a', 'b'])],
  );
  // The first one's content is at hand, since the scope had it.
  await cut(
    [entryOf(route, 'table', '', 'to c', true)],
    [manifestOf('first', ['a', 'b']), manifestOf('scope', ['b', 'c'])],
  );
  const shown = views
    .filter(({ scope }) => scope === 'scope')
    .map(({ types }) => {
      const [table] = types.get(route)?.get('table')?.fragments ?? [];
      return [table && Buffer.from(table).toString(), types.get(cluster)?.get('c') !== undefined];
    });
  expect(shown).toEqual([
    ['to b', false],
    ['to c', true],
  ]);
});

it('says of a view what is not there, and that it is there now', async () => {
  const { apply, views, under, blobs, idle, time } = scopes();
  const bytes = new TextEncoder().encode('late');
  const late = { digest: digestOf(bytes), bytes };
  await apply({ a: '' });
  const { entry } = entryOf(cluster, 'b', '', 'late');
  const shared = ['a', 'b'].map((name) => ({ name, variant: '' }));
  const types = [{ typeUrl: cluster, shared, own: [], whole: false }];
  const content = ManifestContent.encode({ types }).finish();
  await blobs.put([{ digest: digestOf(content), bytes: content }]);
  const manifests = new Map([['scope', { scope: 'scope', content: digestOf(content) }]]);
  under.apply({ ...nothing, resources: new Map([[entry.key, entry]]), manifests }, 2);
  await idle();
  await time.advance(5_000);
  await blobs.put([late]);
  await time.advance(60_000);
  await idle();
  const brief = views.map(({ missing, types: shown }) => [missing, shown.get(cluster)?.size]);
  expect(brief).toEqual([
    [undefined, 1],
    [{ all: false, names: new Map([[cluster, new Set(['b'])]]) }, 1],
    [undefined, 2],
  ]);
});

/** One more cut over what `scopes` gives. */
async function cutOf(
  { under, blobs, idle }: ReturnType<typeof scopes>,
  entries: readonly ReturnType<typeof entryOf>[],
  lists: Readonly<Record<string, readonly string[]>>,
  additive = false,
): Promise<void> {
  const types = Object.entries(lists).map(([typeUrl, names]) => {
    const shared = names.map((name) => ({ name, variant: '' }));
    return { typeUrl, shared, own: [], whole: false };
  });
  const content = ManifestContent.encode({ types }).finish();
  await blobs.put([{ digest: digestOf(content), bytes: content }]);
  const manifests = new Map([['scope', { scope: 'scope', content: digestOf(content) }]]);
  const resources = new Map(entries.map(({ entry }) => [entry.key, entry]));
  under.apply({ ...nothing, resources, manifests }, 1, additive);
  await idle();
}

it('a scope that is used after an overdue cut lacks what it may have removed too early', async () => {
  const all = scopes();
  all.under.release('scope');
  await cutOf(all, [entryOf(cluster, 'a', '', 'a', true)], { [cluster]: ['a'] }, true);
  all.under.acquire('scope');
  await all.idle();
  expect(all.views.map(({ missing }) => missing)).toEqual([{ all: true, names: new Map() }]);
  await cutOf(all, [], { [cluster]: ['a'] });
  expect(all.views.at(-1)?.missing).toBe(undefined);
});

it('a secret that is listed no more goes, though a cluster is lost or a shard behind', async () => {
  const { secret } = resourceTypes;
  for (const additive of [false, true]) {
    const all = scopes();
    const both = [entryOf(cluster, 'a', '', 'a', true), entryOf(secret, 's', '', 's', true)];
    await cutOf(all, both, { [cluster]: ['a'], [secret]: ['s'] });
    const lost = entryOf(cluster, 'b', '', 'lost');
    await cutOf(all, [lost], { [cluster]: ['b'], [secret]: [] }, additive);
    await all.time.advance(5_000);
    const { missing, types } = all.views.at(-1)!;
    expect(missing === undefined).toBe(false);
    expect([types.get(secret)?.size ?? 0, types.get(cluster)?.get('a')?.name]).toEqual([0, 'a']);
  }
});

it('says so to who comes when it begins to lack something, and streams are not walked for it', async () => {
  const all = scopes();
  await cutOf(all, [entryOf(cluster, 'a', '', 'a', true)], { [cluster]: ['a'] });
  await cutOf(all, [entryOf(cluster, 'b', '', 'late')], { [cluster]: ['a', 'b'] });
  expect(all.views.length).toBe(1);
  expect(all.under.view('scope')?.missing?.all).toBe(true);
});

it('of the disk: may be old until all is here', async () => {
  const all = scopes();
  await cutOf(all, [entryOf(cluster, 'a', '', 'old', true)], { [cluster]: ['a'] });
  const [old] = all.views;
  const next = scopes();
  next.under.offer(old!);
  expect(next.under.view('scope')?.missing?.isOld).toBe(true);
  const lists = { [cluster]: ['a', 'b'] };
  await cutOf(
    next,
    [entryOf(cluster, 'a', '', 'new', true), entryOf(cluster, 'b', '', 'late')],
    lists,
  );
  await next.time.advance(5_000);
  expect(next.under.view('scope')?.missing?.isOld).toBe(true);
  await next.blobs.put([entryOf(cluster, 'b', '', 'late').blob]);
  await next.time.advance(60_000);
  await next.idle();
  expect(next.under.view('scope')?.missing).toBe(undefined);
});
