/** Objects in, problems and events out, through the real world of kinds. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Graph } from '@watershed/derive/graph.ts';
import { Event } from '@watershed/model/gen/model.ts';
import { parseAllDocuments, stringify } from 'yaml';
import { identityOf } from '../../src/core/metadata.ts';
import type { EncodedEvent, Installed } from '../../src/core/registry.ts';
import { KindWorld, groupOf, objectKey } from '../../src/core/registry.ts';
import type { Problem, RawObject } from '../../src/kind.ts';
import { allKinds } from './all-kinds.ts';

export class Objects {
  readonly graph = new Graph();
  readonly #installed: readonly Installed[];
  readonly #known = new Map<string, { installed: Installed; key: string }>();
  readonly #problems = new Map<string, readonly Problem[]>();

  constructor({ domain = 'cluster.local', ambient = false } = {}) {
    const world = new KindWorld(
      this.graph,
      { cluster: 'one', domain, rootNamespace: 'istio-system', ambient },
      () => ({ sealed: new Uint8Array([1]), keyId: 'test' }),
    );
    this.#installed = allKinds.map((kind) => kind.install(world));
  }

  /** Takes objects of a YAML text; an object that is refused keeps its last good value. */
  apply(yaml: string): this {
    for (const document of parseAllDocuments(yaml)) {
      const raw: RawObject | null = document.toJS();
      if (raw !== null) this.put(raw);
    }
    return this;
  }

  put(raw: RawObject): void {
    const { installed, id, key, identity } = this.#find(raw);
    const outcome = installed.accept(key, identity, raw);
    this.#problems.set(id, outcome.problems);
    if (outcome.accepted === undefined) installed.refuse(key, identity, raw);
    else this.#known.set(id, { installed, key });
  }

  remove(raw: Pick<RawObject, 'apiVersion' | 'kind' | 'metadata'>): void {
    const { installed, id, key } = this.#find(raw);
    installed.remove(key);
    this.#problems.delete(id);
    this.#known.delete(id);
  }

  #find(raw: Pick<RawObject, 'apiVersion' | 'kind' | 'metadata'>) {
    const installed = this.#installed.find(
      ({ group, kind, apiVersions }) =>
        kind === raw.kind &&
        group === groupOf(raw.apiVersion) &&
        apiVersions.includes(raw.apiVersion),
    );
    if (installed === undefined) throw new Error(`no kind ${raw.apiVersion} ${raw.kind}`);
    const identity = identityOf(raw, installed.namespaced);
    const key = objectKey(identity);
    return { installed, identity, key, id: `${raw.kind} ${key.replace(/^\//u, '')}` };
  }

  events(): EncodedEvent[] {
    const all = [...this.#known.values()].flatMap(
      ({ installed, key }) => this.graph.read(installed.emission, key).events,
    );
    return all.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** `KIND NAMESPACE/NAME: severity: field: reason: value` */
  problems(): string[] {
    const lines: string[] = [];
    const add = (id: string, problems: readonly Problem[]): void => {
      for (const { severity, field, value, reason } of problems) {
        lines.push(`${id}: ${severity}: ${field}: ${reason}${value === '' ? '' : `: ${value}`}`);
      }
    };
    for (const [id, problems] of this.#problems) add(id, problems);
    for (const [id, { installed, key }] of this.#known) {
      add(id, this.graph.read(installed.emission, key).problems);
    }
    return lines;
  }

  /** Events as JSON, by key. */
  readable(): Record<string, unknown> {
    const entries = this.events().map(({ key, topic, value }) => [
      `${topic} ${key}`,
      Event.toJSON(Event.decode(value)),
    ]);
    return Object.fromEntries(entries);
  }

  /** All that is emitted, as one text: equal if and only if the bytes are. */
  fingerprint(): string {
    return this.events()
      .map(({ topic, key, value }) => `${topic} ${key} ${Buffer.from(value).toString('hex')}`)
      .join('\n');
  }
}

const marker = '# ---------------------------------------------------------------- output\n';

export interface Golden {
  readonly name: string;
  /** The first comment line of the file. */
  readonly title: string;
  readonly input: string;
  readonly expected: string;
  readonly save: (output: string) => void;
}

/** Files of input, marker and output. `UPDATE_GOLDENS=1` writes the outputs anew. */
export function goldens(folder: string): Golden[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
  return names.sort().map((name) => {
    const path = join(folder, name);
    const [input = '', expected = ''] = readFileSync(path, 'utf8').split(marker);
    const title = /^# (?<title>.*)$/mu.exec(input)?.groups?.['title'] ?? name;
    const save = (output: string): void => {
      writeFileSync(path, `${input.trimEnd()}\n${marker}${output}`);
    };
    return { name, title, input, expected, save };
  });
}

/** What a golden's input comes to. */
export function outcome(input: string): string {
  const ambient = input.includes('\n# with workloads\n');
  const objects = new Objects({ ambient }).apply(input);
  return stringify(
    { problems: objects.problems(), events: objects.readable() },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
}
