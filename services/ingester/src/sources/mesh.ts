/**
 * The MeshConfig file, and the directories that its configSources name, followed as it changes.
 *
 * They are those of its last good version, over restarts too: a file that is away, cut off or wrong
 * takes nothing away. What it names anew is read before what it names no more is left, because
 * objects may have moved from one to the other.
 */
import { resolve } from 'node:path';
import { describeError } from '@watershed/runtime/errors.ts';
import { OptionsError } from '@watershed/runtime/options.ts';
import { configSourcesOf } from '../kinds/core/config-sources.ts';
import { decodeMeshFile, meshConfigObject, meshNames } from '../kinds/core/mesh-config.ts';
import type { FileProblem } from '../parse/file-problem.ts';
import type { ParsedDocument } from '../parse/limits.ts';
import type { DocumentObjects } from '../parse/objects.ts';
import type { Known, Sink, Source, SourceBatch, UnitUpdate } from '../source.ts';
import { directorySource, FileSource, type DirectoryOptions } from './files.ts';
import { listTree, troubleAt } from './tree.ts';

export interface MeshSourceOptions extends Omit<DirectoryOptions, 'except'> {
  /** Of the file. */
  readonly path: string;
  /** Directories that are read in any case, by path. */
  readonly others: ReadonlyMap<string, FileSource>;
}

interface Named {
  readonly source: FileSource;
  isListed: boolean;
}

/** What a file says of directories. */
type Told = { readonly directories: readonly string[] } | { readonly reason: string };

/** How a MeshConfig file is read. */
export const meshFile = { isOneFile: true, objectsOf: meshOf } as const;

export class MeshSource implements Source {
  readonly name: string;
  readonly #options: MeshSourceOptions;
  readonly #file: FileSource;
  /** Directories that are read, by path; those that are named no more among them, for a while. */
  readonly #named = new Map<string, Named>();
  /** What the file names; undefined before that is known. */
  #wanted: ReadonlySet<string> | undefined;
  /** One thing after the other. */
  #turn: Promise<void> = Promise.resolve();
  #isFileListed = false;
  #isListed = false;
  readonly #listed = Promise.withResolvers<undefined>();
  readonly #stopping = Promise.withResolvers<undefined>();
  #isStopped = false;

  constructor(options: MeshSourceOptions) {
    const { path, others: _others, ...common } = options;
    this.name = `mesh:${path}`;
    this.#options = options;
    this.#file = new FileSource({ ...common, ...meshFile, name: this.name, path });
  }

  /**
   * Throws an OptionsError for a file that is not there or cannot be used, if the log has no good
   * version of it: nobody knows then what it should name.
   */
  async start(sink: Sink, known: Known): Promise<void> {
    const { path } = this.#options;
    const [last] = known(this.name);
    const before = last === undefined ? undefined : toldBy({ objects: [{ raw: last, line: 1 }] });
    if (before !== undefined && 'directories' in before) this.#wanted = this.#setOf(before);
    else {
      const reason = troubleAt(path, await listTree(path, meshFile));
      if (reason !== undefined) throw wrongOption(path, reason);
    }
    const own: Sink = {
      apply: (batch) => this.#next(sink, () => this.#take(batch, sink, known)),
      trouble: (source, reason) => sink.trouble(source, reason),
    };
    void this.#file.start(own, known).then(() => {
      this.#isFileListed = true;
      this.#next(sink, () => this.#settle(sink));
    });
    await this.#listed.promise;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stopping.resolve(undefined);
    await this.#file.stop();
    await this.#turn;
    await Promise.all([...this.#named.values()].map(({ source }) => source.stop()));
  }

  #next(sink: Sink, step: () => Promise<void>): void {
    this.#turn = this.#turn
      .then(() => (this.#isStopped ? undefined : step()))
      .catch((error: unknown) => {
        if (this.#isListed) sink.trouble(this.name, describeError(error));
        else this.#listed.reject(error);
      });
  }

  /** The directories that it names anew, as far as they can be read; then what it says. */
  async #take(batch: SourceBatch, sink: Sink, known: Known): Promise<void> {
    const update = batch.updates.findLast(({ unit }) => unit === this.#options.path);
    const told = update === undefined ? undefined : toldBy(update);
    if (told !== undefined && 'directories' in told) this.#wanted = this.#setOf(told);
    else if (told !== undefined && this.#wanted === undefined) {
      throw wrongOption(this.#options.path, told.reason);
    }
    const added = [...(this.#wanted ?? [])].filter((path) => !this.#named.has(path));
    const looked = added.map((path) => this.#add(path, sink, known));
    await Promise.race([Promise.all(looked), this.#stopping.promise]);
    if (this.#isStopped) return;
    sink.apply(batch);
    await this.#settle(sink);
  }

  /** Resolves when it was read, or could not be. */
  #add(path: string, sink: Sink, known: Known): Promise<void> {
    const { path: except, time, watch, times } = this.#options;
    const source = directorySource(path, { time, watch, times, except });
    const named: Named = { source, isListed: false };
    this.#named.set(path, named);
    return new Promise((looked) => {
      const own: Sink = {
        apply: (batch) => sink.apply(batch),
        trouble: (name, reason) => {
          sink.trouble(name, reason);
          if (reason !== undefined) looked();
        },
      };
      void source.start(own, known).then(() => {
        named.isListed = true;
        looked();
        this.#next(sink, () => this.#settle(sink));
      });
    });
  }

  /** If all is read that the file names: leaves the rest. */
  async #settle(sink: Sink): Promise<void> {
    const wanted = this.#wanted ?? new Set();
    for (const path of wanted) if (this.#named.get(path)?.isListed !== true) return;
    for (const [path, { source }] of this.#named) {
      if (wanted.has(path)) continue;
      this.#named.delete(path);
      const rest = [...this.#named.values()].map((other) => other.source);
      const others = [...rest, ...this.#options.others.values()];
      await source.leave(sink, (unit) => others.some((other) => other.has(unit)));
    }
    if (!this.#isFileListed) return;
    this.#isListed = true;
    this.#listed.resolve(undefined);
  }

  #setOf({ directories }: { readonly directories: readonly string[] }): ReadonlySet<string> {
    const paths = directories.map((directory) => resolve(directory));
    return new Set(paths.filter((path) => !this.#options.others.has(path)));
  }
}

function wrongOption(path: string, reason: string): OptionsError {
  return new OptionsError([`--meshConfig: ${JSON.stringify(path)}: ${reason}`]);
}

function withLine({ line, reason }: FileProblem): string {
  return line === 0 ? reason : `line ${line}: ${reason}`;
}

/** A document of a MeshConfig file. */
function meshOf({ line, value }: ParsedDocument): DocumentObjects {
  if (value === null) return { objects: [], problems: [] };
  return { objects: [{ line, raw: meshConfigObject(meshNames.file, value) }], problems: [] };
}

function toldBy({
  objects,
  problems = [],
}: Pick<UnitUpdate, 'objects'> & Partial<UnitUpdate>): Told {
  const [problem] = problems;
  if (problem !== undefined) return { reason: withLine(problem) };
  const [first] = objects;
  if (first === undefined) return { reason: 'is gone' };
  const { spec, problems: found } = decodeMeshFile(first.raw);
  if (spec !== undefined) return configSourcesOf(first.raw['spec']);
  const { field, value, reason } = found.find(({ severity }) => severity === 'error') ?? {};
  return { reason: `${field} ${value}: ${reason}` };
}
