/**
 * What a client holds of one type, shared by all clients that went the same way: a client costs a
 * pointer and not a table.
 */
import type { Message } from './messages.ts';

export interface Step {
  readonly held: Held;
  /** Names that it did not have before. */
  readonly added: readonly string[];
  /** Names that it had. */
  readonly gone: readonly string[];
}

export class Held {
  readonly versions: ReadonlyMap<string, string>;
  readonly #steps = new WeakMap<Message, Step>();
  readonly #without = new Map<string, Held>();

  constructor(versions: ReadonlyMap<string, string> = new Map()) {
    this.versions = versions;
  }

  take(message: Message): Step {
    let step = this.#steps.get(message);
    if (step === undefined) this.#steps.set(message, (step = this.#apply(message)));
    return step;
  }

  without(names: readonly string[]): Held {
    if (!names.some((name) => this.versions.has(name))) return this;
    const key = names.join('\n');
    let held = this.#without.get(key);
    if (held === undefined) {
      const left = new Map(this.versions);
      for (const name of names) left.delete(name);
      this.#without.set(key, (held = new Held(left)));
    }
    return held;
  }

  #apply({ resources, removed }: Message): Step {
    const versions = new Map(this.versions);
    const added: string[] = [];
    for (const [name, version] of resources) {
      if (!versions.has(name)) added.push(name);
      versions.set(name, version);
    }
    const gone = removed.filter((name) => versions.delete(name));
    return { held: new Held(versions), added, gone };
  }
}
