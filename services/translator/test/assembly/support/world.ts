/** Assembly over events given as data: what a scope gets, decoded. */
import { Graph, type GraphOptions } from '@watershed/derive/graph.ts';
import { Event } from '@watershed/model/gen/model.ts';
import { ScopeClass, type Selectors } from '@watershed/model/gen/record.ts';
import { configKey, endpointsKey, type ConfigKind } from '@watershed/model/keys.ts';
import { createPlans } from '../../../src/assembly/plans.ts';
import { deepFreeze } from '../../../src/freeze.ts';
import { applyRecord, createInputs, type Inputs } from '../../../src/inputs.ts';
import { resourceId } from '../../../src/plan.ts';
import type {
  Diagnostic,
  Generated,
  Job,
  Plans,
  ResourceKey,
  ResourcePlan,
} from '../../../src/plan.ts';

/** One record. `value` absent: a tombstone. */
export interface Given {
  readonly kind: ConfigKind | 'endpoints' | 'workload';
  readonly cluster?: string;
  readonly namespace?: string;
  readonly name: string;
  /** As JSON of the model's message; enums by name. */
  readonly value?: Readonly<Record<string, unknown>>;
}

export interface Resource {
  readonly key: ResourceKey;
  readonly bytes: Uint8Array;
  readonly plan: ResourcePlan;
}

export interface Snapshot {
  readonly resources: readonly Resource[];
  readonly diagnostics: readonly Diagnostic[];
}

export class World {
  readonly graph: Graph;
  readonly inputs: Inputs;
  readonly plans: Plans;
  /** Generations so far, by name of the generator: an argument that was seen before is none. */
  readonly ran = new Map<string, number>();
  readonly #made = new Map<string, Generated>();
  readonly #observed = new Map<string, ResourceKey>();

  constructor(options: GraphOptions = {}) {
    this.graph = new Graph(options);
    this.inputs = createInputs(this.graph);
    this.plans = createPlans(this.inputs);
  }

  give(...all: readonly Given[]): void {
    for (const given of all) {
      const { topic, key, value } = encode(given);
      const applied = applyRecord(this.inputs, topic, key, value);
      if (applied.outcome === 'refused') throw new Error(`${key}: ${applied.refused.reason}`);
    }
  }

  selectors(namespace: string): Selectors {
    return this.graph.read(this.plans.selectors, namespace);
  }

  /** What a scope has, and brings the graph up to date. */
  look(scope: ScopeClass): Snapshot {
    this.graph.observe(this.plans.manifest, scope);
    this.graph.settle();
    const { types, diagnostics: own = [] } = this.graph.read(this.plans.manifest, scope);
    const resources: Resource[] = [];
    const diagnostics: Diagnostic[] = [...own];
    for (const { shared, own: alone } of types) {
      for (const key of shared) this.#observe(key);
      this.graph.settle();
      const plans = [...shared.map((key) => this.#planOf(key)), ...alone];
      for (const plan of plans) {
        resources.push(this.#make(plan));
        diagnostics.push(...(plan.diagnostics ?? []));
        for (const part of plan.parts) diagnostics.push(...(this.#run(part).diagnostics ?? []));
      }
    }
    resources.sort((a, b) => (resourceId(a.key) < resourceId(b.key) ? -1 : 1));
    return { resources, diagnostics };
  }

  #observe(key: ResourceKey): void {
    const id = resourceId(key);
    if (this.#observed.has(id)) return;
    this.#observed.set(id, key);
    this.graph.observe(this.plans.shared, key);
  }

  #planOf(key: ResourceKey): ResourcePlan {
    const plan = this.graph.read(this.plans.shared, key);
    if (plan === undefined) throw new Error(`listed, but not there: ${resourceId(key)}`);
    return plan;
  }

  #make(plan: ResourcePlan): Resource {
    const bytes = Buffer.concat(plan.parts.map((part) => this.#run(part).bytes));
    return { key: plan.key, bytes, plan };
  }

  #run(part: Job): Generated {
    const { name } = part.generator;
    const id = `${name} ${JSON.stringify(part.argument)}`;
    const known = this.#made.get(id);
    if (known !== undefined) return known;
    deepFreeze(part.argument);
    const made = part.run();
    this.ran.set(name, (this.ran.get(name) ?? 0) + 1);
    this.#made.set(id, made);
    return made;
  }

  /** What is generated, and which of the observed plans change, while `work` runs. */
  during(work: () => void): Work {
    this.graph.settle();
    const before = new Map(this.ran);
    work();
    const changed = this.graph.settle().map(({ query, id }) => `${query.name} ${idOf(id)}`);
    for (const key of this.#observed.values()) {
      const plan = this.graph.read(this.plans.shared, key);
      if (plan !== undefined) this.#make(plan);
    }
    const generated: Record<string, number> = {};
    for (const [name, count] of this.ran) {
      const more = count - (before.get(name) ?? 0);
      if (more > 0) generated[name] = more;
    }
    return { changed: changed.sort(), generated };
  }
}

export interface Work {
  /** `shared NAME` or `manifest`. */
  readonly changed: readonly string[];
  readonly generated: Readonly<Record<string, number>>;
}

function idOf(id: string): string {
  const [typeUrl = '', name] = id.split('\n');
  return name === undefined ? '' : `${typeUrl.slice(typeUrl.lastIndexOf('.') + 1)} ${name}`;
}

export function encode({ kind, cluster = 'c1', namespace = '', name, value }: Given): {
  readonly topic: 'config' | 'endpoints';
  readonly key: string;
  readonly value: Uint8Array | undefined;
} {
  const bytes = value && Event.encode(Event.fromJSON({ [kind]: { ...value } })).finish();
  if (kind === 'workload') {
    const uid = `${cluster}//Pod/${namespace}/${name}`;
    const key = endpointsKey({ host: uid, cluster, kind: 'instance', namespace, name });
    return { topic: 'endpoints', key, value: bytes };
  }
  if (kind !== 'endpoints') {
    return { topic: 'config', key: configKey({ cluster, kind, namespace, name }), value: bytes };
  }
  // `host/slice`
  const [host = '', slice = ''] = name.split('/');
  const key = endpointsKey({ host, cluster, kind: 'slice', namespace, name: slice });
  return { topic: 'endpoints', key, value: bytes };
}

export function scopeOf(fields: {
  readonly namespace?: string;
  readonly [field: string]: unknown;
}): ScopeClass {
  const namespace = fields.namespace ?? 'default';
  return ScopeClass.fromJSON({
    type: 'PROXY_TYPE_SIDECAR',
    namespace,
    cluster: 'c1',
    dnsDomain: `${namespace}.svc.cluster.local`,
    interception: 'REDIRECT',
    ...fields,
  });
}
