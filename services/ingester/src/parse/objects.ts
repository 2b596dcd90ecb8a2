/**
 * Documents → objects. A `List` (any `…List` with `items`) is its items; everything else must have
 * an apiVersion, a kind and a name.
 */
import { hash } from 'node:crypto';
import type { RawObject } from '../kind.ts';
import { isObject, show } from '../decode.ts';
import type { FileProblem } from './file-problem.ts';
import { parseJson } from './json.ts';
import { parseChunk, splitDocuments, type Chunk, type ParsedChunk } from './documents.ts';
import { defaultLimits, type ParsedDocument, type ParseLimits } from './limits.ts';

/** An object and the line (from 1) of its file where it starts. */
export interface LocatedObject {
  readonly raw: RawObject;
  readonly line: number;
}

export interface ParsedFile {
  readonly objects: readonly LocatedObject[];
  /** Not empty: some part of the file gave no object, so what is absent may only be unreadable. */
  readonly problems: readonly FileProblem[];
  /** For the next parse of the same file: unchanged documents are not parsed again. */
  readonly chunks: ReadonlyMap<string, ParsedChunk>;
}

export interface ParseOptions {
  readonly limits?: ParseLimits;
  /** `chunks` of the file's last parse. */
  readonly known?: ReadonlyMap<string, ParsedChunk>;
  /** How a document becomes objects; default: Kubernetes objects and Lists of them. */
  readonly objectsOf?: (document: ParsedDocument) => DocumentObjects;
  /** Called between documents, so that a large file does not stall the process. */
  readonly pause?: () => Promise<void>;
  /** Parses documents of YAML that are large by themselves; default: as all others are. */
  readonly aside?: (text: string, limits: ParseLimits) => Promise<ParsedChunk>;
}

export interface DocumentObjects {
  readonly objects: readonly LocatedObject[];
  readonly problems: readonly FileProblem[];
}

/** Characters parsed between two pauses: about 50 ms. */
const pauseChars = 64 * 1024;
/** A document of more is large by itself: a thread for it costs less than what it would hold up. */
const asideChars = 256 * 1024;

/** Parses the text of one file. Never throws for what the text holds. */
export async function parseFile(source: string, options: ParseOptions = {}): Promise<ParsedFile> {
  const limits = options.limits ?? defaultLimits;
  const objectsOf = options.objectsOf ?? kubernetesObjects;
  const pieces = splitDocuments(source);
  if (pieces.length > limits.documents) {
    const reason = `the file has ${pieces.length} documents, more than ${limits.documents}`;
    return { objects: [], problems: [{ line: 0, reason }], chunks: new Map() };
  }
  const objects: LocatedObject[] = [];
  const problems: FileProblem[] = [];
  const chunks = new Map<string, ParsedChunk>();
  let sincePause = 0;
  for (const piece of pieces) {
    const digest = hash('sha256', piece.text, 'base64');
    let chunk = options.known?.get(digest) ?? chunks.get(digest);
    if (chunk === undefined) {
      const { aside } = options;
      if (aside !== undefined && isSlow(piece.text, limits)) {
        chunk = await aside(piece.text, limits);
      } else {
        if (sincePause > pauseChars) {
          await options.pause?.();
          sincePause = 0;
        }
        sincePause += piece.text.length;
        chunk = parseChunk(piece.text, limits);
      }
    }
    chunks.set(digest, chunk);
    collect(piece, chunk, objectsOf, objects, problems);
  }
  return { objects, problems, chunks };
}

/** JSON is parsed at once; what is too long is not parsed at all. */
function isSlow(text: string, limits: ParseLimits): boolean {
  if (text.length <= asideChars || text.length > limits.documentChars) return false;
  return parseJson(text, limits) === undefined;
}

function collect(
  piece: Chunk,
  chunk: ParsedChunk,
  objectsOf: (document: ParsedDocument) => DocumentObjects,
  objects: LocatedObject[],
  problems: FileProblem[],
): void {
  const shift = <T extends { readonly line: number }>(located: T): T => ({
    ...located,
    line: located.line + piece.line,
  });
  problems.push(...chunk.problems.map(shift));
  for (const document of chunk.documents) {
    const result = objectsOf(document);
    objects.push(...result.objects.map(shift));
    problems.push(...result.problems.map(shift));
  }
}

/** Kubernetes' own bound of a List that holds Lists is none; deeper ones are nobody's intent. */
const maxListDepth = 3;

/** What a document of Kubernetes objects holds; lines stay relative to the document's chunk. */
function kubernetesObjects(document: ParsedDocument): DocumentObjects {
  const objects: LocatedObject[] = [];
  const problems: FileProblem[] = [];
  const add = (value: unknown, line: number, lines: readonly number[], depth: number): void => {
    if (value === null || value === undefined) return;
    if (isObject(value) && isList(value)) {
      if (depth > maxListDepth) {
        problems.push({ line, reason: `Lists are nested deeper than ${maxListDepth}` });
        return;
      }
      for (const [index, item] of value.items.entries()) {
        add(item, lines[index] ?? line, [], depth + 1);
      }
      return;
    }
    const reason = notAnObject(value);
    if (reason !== undefined) problems.push({ line, reason });
    else if (isRawObject(value)) objects.push({ raw: value, line });
  };
  add(document.value, document.line, document.itemLines, 1);
  return { objects, problems };
}

function isList(
  value: Readonly<Record<string, unknown>>,
): value is Readonly<Record<string, unknown>> & { readonly items: readonly unknown[] } {
  return (
    typeof value['kind'] === 'string' &&
    value['kind'].endsWith('List') &&
    Array.isArray(value['items'])
  );
}

function notAnObject(value: unknown): string | undefined {
  // Never a text itself: it may be a key that somebody took for a document.
  if (typeof value === 'string') return `expected an object, found ${value.length} characters`;
  if (!isObject(value)) return `expected an object, found ${show(value)}`;
  const { kind, metadata, apiVersion } = value;
  const ofKind = notAString(kind, 'kind');
  if (ofKind !== undefined) return `the object ${ofKind}`;
  const name = isObject(metadata) ? metadata['name'] : undefined;
  const ofName = notAString(name, 'metadata.name');
  if (ofName !== undefined) return `the ${unquoted(kind)} ${ofName}`;
  const ofVersion = notAString(apiVersion, 'apiVersion');
  return ofVersion && `${unquoted(kind)} ${show(name)} ${ofVersion}`;
}

/** A kind reads as a word; shown, and cut, as any value. */
function unquoted(kind: unknown): string {
  return show(kind).replaceAll(/^"|"$/gu, '');
}

/** YAML takes `name: 5` for a number. */
function notAString(value: unknown, field: string): string | undefined {
  if (value === undefined || value === null || value === '') return `has no ${field}`;
  return typeof value === 'string' ? undefined : `has a ${field} that is no string: ${show(value)}`;
}

function isRawObject(value: unknown): value is RawObject {
  return notAnObject(value) === undefined;
}
