/**
 * Files, judged as the service would judge them, with no log: parsed, decoded, and emitted with all
 * of them in view, so that a reference from one file to another is known.
 */
import { resolve } from 'node:path';
import { Graph } from '@watershed/derive/graph.ts';
import type { Time } from '@watershed/runtime/clock.ts';
import { noCounters } from './core/counters.ts';
import { Diagnostics } from './core/diagnostics.ts';
import { Ingest } from './core/ingest.ts';
import type { Registration } from './core/registry.ts';
import type { Problem, SourceSettings } from './kind.ts';
import { configSourcesOf } from './kinds/core/config-sources.ts';
import { coreKinds } from './kinds/core/kinds.ts';
import { gatewayApiKinds } from './kinds/gateway-api/kinds.ts';
import { istioKinds } from './kinds/istio/kinds.ts';
import type { SourceBatch, UnitUpdate } from './source.ts';
import { meshDefaults } from './sources/configured.ts';
import { FileSource, type FileSourceOptions } from './sources/files.ts';
import { meshFile } from './sources/mesh.ts';
import { listTree, troubleAt } from './sources/tree.ts';
import { unwatched } from './sources/watch.ts';

/** Something wrong with an object, or with a part of a file (then `kind` is empty). */
export interface Finding extends Problem {
  /** From 1; 0 where it is about the file as a whole. */
  readonly line: number;
  readonly file: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export interface Validated {
  readonly findings: readonly Finding[];
  readonly files: number;
  /** As they are written, those of unknown kinds and those that are written twice among them. */
  readonly objects: number;
}

export interface ValidateOptions {
  /** Files or directories; of a directory, what the service would read. */
  readonly paths: readonly string[];
  /** A file as of `--meshConfig`; the directories that it names are judged as well. */
  readonly meshConfig?: string | undefined;
  readonly settings: SourceSettings;
  readonly time: Time;
}

/** Every kind that the service knows. */
export const allKinds: readonly Registration[] = [...coreKinds, ...istioKinds, ...gatewayApiKinds];

export async function validate(options: ValidateOptions): Promise<Validated> {
  const diagnostics = new Diagnostics(() => options.time.now());
  const ingest = createIngest(options, diagnostics);
  ingest.apply(meshDefaults);
  const findings: Finding[] = [];
  /** By the file's whole path: it may be reached in several ways. */
  const objectsOf = new Map<string, number>();
  const directories: string[] = [];
  const read = async (
    path: string,
    parsing: Parsing = {},
    ifMissing: Finding['severity'] = 'error',
  ): Promise<void> => {
    const listing = await listTree(path, parsing);
    const trouble = troubleAt(path, listing);
    if (trouble !== undefined) {
      const severity = listing.kind === 'missing' ? ifMissing : 'error';
      findings.push({ ...atFile(path, 0, trouble), severity });
      return;
    }
    const before = new Set(objectsOf.keys());
    await readAll(
      { path, time: options.time, ...parsing },
      (batch) => {
        const updates = batch.updates.filter(({ unit }) => !before.has(resolve(unit)));
        for (const update of updates) {
          objectsOf.set(resolve(update.unit), update.objects.length);
          findings.push(...unreadable(update));
          if (parsing !== meshFile) continue;
          const specs = update.objects.map(({ raw }) => raw['spec']);
          directories.push(...specs.flatMap((spec) => configSourcesOf(spec).directories));
        }
        ingest.apply({ ...batch, updates });
      },
      (reason) => findings.push(atFile(path, 0, reason)),
    );
  };
  if (options.meshConfig !== undefined) await read(options.meshConfig, meshFile);
  for (const path of options.paths) await read(path);
  // They may be of the machine that the service runs on, and not of this one.
  for (const path of directories) await read(path, {}, 'warning');
  ingest.open({ events: [], objects: [] });
  for (const found of diagnostics.list()) {
    if (found.kind === 'File' && found.group === '') continue;
    const { origin, severity, kind, namespace, name, field, value, reason } = found;
    const subject = { kind, namespace, name };
    findings.push({ ...placeOf(origin), ...subject, severity, field, value, reason });
  }
  const objects = [...objectsOf.values()].reduce((sum, count) => sum + count, 0);
  return { findings: findings.sort(byPlace), files: objectsOf.size, objects };
}

function createIngest({ settings, time }: ValidateOptions, diagnostics: Diagnostics): Ingest {
  return new Ingest({
    graph: new Graph(),
    kinds: allKinds,
    settings,
    // Nothing is published, so nothing is worth a key.
    sealing: {
      seal: () => ({ sealed: new Uint8Array(), keyId: '' }),
      unseal: (sealed) => sealed,
    },
    diagnostics,
    counters: noCounters,
    now: () => time.now(),
    monotonicMs: () => time.monotonic(),
    publish: () => undefined,
  });
}

type Parsing = Pick<FileSourceOptions, 'objectsOf' | 'isOneFile'>;

/** One look of the source that the service uses. */
async function readAll(
  options: Pick<FileSourceOptions, 'path' | 'time'> & Parsing,
  apply: (batch: SourceBatch) => void,
  trouble: (reason: string) => void,
): Promise<void> {
  const source = new FileSource({ ...options, name: options.path, watch: unwatched });
  let failed: () => void = () => undefined;
  const inTrouble = new Promise<void>((resolve) => {
    failed = resolve;
  });
  const sink = {
    apply,
    trouble: (_source: string, reason: string | undefined): void => {
      if (reason === undefined) return;
      trouble(reason);
      // It would wait until it can be read; here that is an answer.
      failed();
    },
  };
  const listed = source.start(sink, () => []);
  await Promise.race([listed, inTrouble]);
  await source.stop();
}

function unreadable({ unit, problems }: UnitUpdate): readonly Finding[] {
  return problems.map(({ line, reason }) => atFile(unit, line, reason));
}

function atFile(file: string, line: number, reason: string): Finding {
  const subject = { kind: '', namespace: '', name: '' };
  return { file, line, ...subject, severity: 'error', field: '', value: '', reason };
}

/** `shop/routes.yaml:12` */
function placeOf(origin: string): { readonly file: string; readonly line: number } {
  const colon = origin.lastIndexOf(':');
  const line = Number(origin.slice(colon + 1));
  return colon > 0 && Number.isInteger(line)
    ? { file: origin.slice(0, colon), line }
    : { file: origin, line: 0 };
}

function byPlace(a: Finding, b: Finding): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line;
}
