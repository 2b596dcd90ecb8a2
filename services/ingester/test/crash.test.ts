/** Processes that crash between any two appends, and others that go on from what is on the log. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Core, service, type Edit } from './support.ts';

/** A root and its delegates: these give no event of their own, and `d0` has another as well. */
const root = `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: root, namespace: shop }
spec:
  hosts: [shop.example.com]
  http:
    - { match: [{ uri: { prefix: /0/ } }], delegate: { name: d0 } }
    - { match: [{ uri: { prefix: /1/ } }], delegate: { name: d1 } }
`;
const delegate = (name: string, version: number): string => `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name}, namespace: shop }
spec: { http: ${version === 0 ? 'bad' : `[{ route: [{ destination: { host: h${version} } }] }]`} }
`;
const slice = (name: string, version: number): string => `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}, namespace: shop, labels: { kubernetes.io/service-name: cart } }
addressType: IPv4
ports: [{ name: http, port: 8080 }]
endpoints: [{ addresses: [${version === 0 ? 'bad' : `10.0.0.${version}`}] }]
`;

/** Version 0 of each but the root is bad. */
const objects = {
  root: () => root,
  d0: (version: number) => delegate('d0', version),
  d1: (version: number) => delegate('d1', version),
  cart: (version: number) => service('cart', version === 0 ? 99_999 : version),
  shop: (version: number) => service('shop', version === 0 ? 99_999 : version),
  e0: (version: number) => slice('e0', version),
} as const;
type Name = keyof typeof objects;
const names = ['root', 'd0', 'd1', 'cart', 'shop', 'e0'] as const satisfies readonly Name[];
const units = ['a.yaml', 'b.yaml', 'c.yaml'] as const;

const step = fc.record({
  unit: fc.constantFrom(...units),
  /** `undefined`: the file is removed. */
  change: fc.option(
    fc.record({
      name: fc.constantFrom(...names),
      version: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
      isBroken: fc.boolean(),
    }),
    { nil: undefined, freq: 8 },
  ),
  /** After how many appends the process crashes; `undefined`: it does not. */
  appends: fc.option(fc.nat(6), { nil: undefined, freq: 3 }),
  after: fc.constantFrom('restart', 'confirm', 'wait', 'nothing', 'nothing'),
});

class World {
  readonly files = new Map<string, { objects: Map<Name, number>; isBroken: boolean }>();
  core = new Core(limits).open();

  /** A process over what the log holds, which may crash on its way. */
  async start(appends = Infinity): Promise<void> {
    this.core = new Core({ ...limits, stored: this.core.stored() });
    this.core.appendsLeft = appends;
    await this.core.write(
      Object.fromEntries([...this.files.keys()].map((unit) => this.#edit(unit))),
    );
    this.core.open();
  }

  async write(unit: string, appends = Infinity): Promise<void> {
    this.core.appendsLeft = appends;
    await this.core.write(Object.fromEntries([this.#edit(unit)]));
  }

  log(): unknown {
    const { events, objects: kept } = this.core.stored();
    const order = (a: { key: string }, b: { key: string }): number => (a.key < b.key ? -1 : 1);
    return [events.toSorted(order), kept.toSorted(order)];
  }

  #edit(unit: string): readonly [string, Edit[string]] {
    const file = this.files.get(unit);
    if (file === undefined) return [unit, undefined];
    const texts = [...file.objects].map(([name, version]) => objects[name](version));
    return [unit, [...texts, ...(file.isBroken ? ['---\na: ['] : [])].join('')];
  }
}

const limits = { holdLimits: { objects: 2, share: 0.3, windowMs: 5_000 } };

test('wherever processes crash, the log ends up with what the files say; a restart alone changes nothing', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 15 }), async (steps) => {
      const world = new World();
      for (const { unit, change, appends, after } of steps) {
        const file = world.files.get(unit) ?? { objects: new Map<Name, number>(), isBroken: false };
        if (change === undefined) world.files.delete(unit);
        else {
          const { name, version, isBroken } = change;
          if (version === undefined) file.objects.delete(name);
          else file.objects.set(name, version);
          world.files.set(unit, { ...file, isBroken });
        }
        await world.write(unit, appends);
        // The next one crashes as well, before it is where the first one was.
        if (world.core.appendsLeft <= 0) await world.start(appends);
        if (world.core.appendsLeft <= 0) await world.start();
        world.core.appendsLeft = Infinity;
        if (after === 'wait') world.core.nowMs += 6_000;
        if (after === 'confirm') world.core.ingest.confirm();
        if (after !== 'restart') continue;
        const before = world.log();
        await world.start();
        expect(world.log()).toEqual(before);
      }
      for (const file of world.files.values()) {
        file.isBroken = false;
        for (const [name, version] of file.objects) file.objects.set(name, version || 1);
      }
      await world.start();
      world.core.ingest.confirm();
      const fresh = new World();
      for (const [unit, file] of world.files) fresh.files.set(unit, file);
      await fresh.start();
      expect(world.log()).toEqual(fresh.log());
    }),
    { numRuns: 150 },
  );
});
