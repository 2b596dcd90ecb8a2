import { parseFile } from '../src/parse/objects.ts';
import type { Sink, Source, UnitUpdate } from '../src/source.ts';

/** Texts by path. */
export type Files = Map<string, string>;

/** Files that are in memory; the parsing is the real one. */
export class MemoryFiles implements Source {
  readonly name = 'files';
  readonly #files: Files;
  #sink: Sink | undefined;

  constructor(files: Files) {
    this.#files = files;
  }

  async start(sink: Sink): Promise<void> {
    this.#sink = sink;
    await this.write(new Map(this.#files));
  }

  /** Hands over files as they are now; empty ones are removed. */
  async write(edit: Files): Promise<void> {
    const updates: UnitUpdate[] = [];
    for (const [unit, text] of edit) {
      if (text === '') this.#files.delete(unit);
      else this.#files.set(unit, text);
      const { objects, problems } = await parseFile(text);
      updates.push({ unit, version: '', objects, problems });
    }
    this.#sink?.apply({ source: this.name, updates, unchanged: 0 });
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}
