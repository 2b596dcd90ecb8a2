import { FieldReader } from '../wire.ts';

/** One .proto file. */
export interface DescribedFile {
  /** A FileDescriptorProto, encoded. */
  readonly bytes: Uint8Array;
  readonly imports: readonly string[];
}

/**
 * Which file of FileDescriptorSets has what; of a file that several have, the first counts. It
 * reads names only: field numbers are those of `google/protobuf/descriptor.proto`.
 */
export class DescriptorIndex {
  readonly #files = new Map<string, DescribedFile>();
  /** Fully qualified name → file. */
  readonly #symbols = new Map<string, string>();
  /** Extended message → number → file. */
  readonly #extensions = new Map<string, Map<number, string>>();

  constructor(sets: readonly Uint8Array[]) {
    for (const set of sets) each(set, { 1: (file) => this.#file(file) });
  }

  file(name: string): DescribedFile | undefined {
    return this.#files.get(name);
  }

  /** The name of the file that declares a symbol: message, field, enum, service, method, extension. */
  fileOf(symbol: string): string | undefined {
    return this.#symbols.get(symbol);
  }

  extensionsOf(message: string): ReadonlyMap<number, string> {
    return this.#extensions.get(message) ?? none;
  }

  #file(bytes: Uint8Array): void {
    const imports: string[] = [];
    let name = '';
    let scope = '';
    each(bytes, {
      1: (text) => (name = textOf(text)),
      2: (text) => (scope = `${textOf(text)}.`),
      3: (text) => imports.push(textOf(text)),
    });
    if (this.#files.has(name)) return;
    this.#files.set(name, { bytes, imports });
    each(bytes, {
      4: (message) => this.#message(message, scope, name),
      5: (enumeration) => this.#declare(enumeration, scope, name),
      6: (service) => {
        const inner = this.#declare(service, scope, name);
        each(service, { 2: (method) => this.#declare(method, inner, name) });
      },
      7: (extension) => this.#extension(extension, scope, name),
    });
  }

  #message(bytes: Uint8Array, scope: string, file: string): void {
    const inner = this.#declare(bytes, scope, file);
    each(bytes, {
      2: (field) => this.#declare(field, inner, file),
      3: (message) => this.#message(message, inner, file),
      4: (enumeration) => this.#declare(enumeration, inner, file),
      6: (extension) => this.#extension(extension, inner, file),
      8: (oneof) => this.#declare(oneof, inner, file),
    });
  }

  #extension(bytes: Uint8Array, scope: string, file: string): void {
    this.#declare(bytes, scope, file);
    let message = '';
    let number = 0;
    const fields = new FieldReader(bytes);
    while (fields.next()) {
      if (fields.field === 2 && fields.wireType === 2) message = fields.text().replace(/^\./u, '');
      if (fields.field === 3 && fields.wireType === 0) number = fields.value;
    }
    const known = this.#extensions.get(message) ?? new Map<number, string>();
    this.#extensions.set(message, known.set(number, file));
  }

  /** All declarations have their name in field 1. Gives the scope of what is within. */
  #declare(bytes: Uint8Array, scope: string, file: string): string {
    let name = '';
    each(bytes, { 1: (text) => (name = textOf(text)) });
    this.#symbols.set(scope + name, file);
    return `${scope}${name}.`;
  }
}

const none: ReadonlyMap<number, string> = new Map();

type Visitors = Readonly<Record<number, (content: Uint8Array) => void>>;

function each(bytes: Uint8Array, visitors: Visitors): void {
  const fields = new FieldReader(bytes);
  while (fields.next()) if (fields.wireType === 2) visitors[fields.field]?.(fields.content());
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}
