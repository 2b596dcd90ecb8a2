/**
 * Text → documents: YAML 1.2 or JSON, several in one file. Nothing that a file holds may take the
 * process down or stall it for long: size, number and depth of documents, aliases and the expanded
 * size are bounded.
 *
 * The text is cut at lines that start with `---` before it is parsed. YAML forbids such a line
 * inside every scalar (c-forbidden, YAML 1.2.2 §9.1.2), so an unclosed quote spoils its own
 * document and no other.
 */
import {
  type CST,
  Composer,
  isScalar,
  Lexer,
  LineCounter,
  Parser,
  visit,
  type Document,
} from 'yaml';
import type { FileProblem } from './file-problem.ts';
import { parseJson } from './json.ts';
import { defaultLimits, type ParsedDocument, type ParseLimits } from './limits.ts';

export interface Chunk {
  readonly text: string;
  /** The line (from 1) of its first character in the file. */
  readonly line: number;
}

export interface ParsedChunk {
  readonly documents: readonly ParsedDocument[];
  readonly problems: readonly FileProblem[];
}

/** Cuts a file at its document markers; chunks without content are left out. */
export function splitDocuments(source: string): readonly Chunk[] {
  const chunks: Chunk[] = [];
  let start = 0;
  let line = 1;
  const text = source.startsWith('\uFEFF') ? source.slice(1) : source;
  for (const match of text.matchAll(/^---(?=[ \t\r\n]|$)/gmu)) {
    pushChunk(chunks, text.slice(start, match.index), line);
    line += countLines(text, start, match.index);
    // What follows the marker on its line belongs to the document.
    start = match.index + 3;
  }
  pushChunk(chunks, text.slice(start), line);
  return chunks;
}

function pushChunk(chunks: Chunk[], text: string, line: number): void {
  // Blank lines, comments and %directives alone are no document.
  if (/^[ \t]*(?![ \t#%\r\n]).+$/mu.test(text)) chunks.push({ text, line });
}

function countLines(text: string, from: number, to: number): number {
  let lines = 0;
  for (let at = text.indexOf('\n', from); at !== -1 && at < to; at = text.indexOf('\n', at + 1)) {
    lines++;
  }
  return lines;
}

/**
 * Parses one chunk. Lines are relative to the chunk, from 0, so that a chunk that only moved is not
 * parsed.
 */
export function parseChunk(text: string, limits: ParseLimits = defaultLimits): ParsedChunk {
  if (text.length > limits.documentChars) {
    const reason = `the document has ${text.length} characters, more than ${limits.documentChars}`;
    return { documents: [], problems: [{ line: 0, reason }] };
  }
  const json = parseJson(text, limits);
  if (json !== undefined) return { documents: [json], problems: [] };
  const counter = new LineCounter();
  const tokens = tokensOf(text, counter, limits);
  const lineAt = (offset: number): number => Math.max(0, counter.linePos(offset).line - 1);
  const excess = typeof tokens === 'string' ? tokens : tooLarge(tokens, limits);
  if (typeof tokens === 'string' || excess !== undefined) {
    return { documents: [], problems: [{ line: 0, reason: excess ?? '' }] };
  }
  const composer = new Composer({ uniqueKeys: false, merge: true, logLevel: 'error' });
  const documents: ParsedDocument[] = [];
  const problems: FileProblem[] = [];
  for (const document of composer.compose(tokens, false, text.length)) {
    const trouble = troubleOf(document);
    if (trouble !== undefined) {
      problems.push({ line: lineAt(trouble.offset), reason: trouble.reason });
      continue;
    }
    const value = valueOf(document, limits);
    const line = lineAt(document.contents?.range?.[0] ?? document.range[0]);
    if ('reason' in value) problems.push({ line, reason: value.reason });
    else documents.push({ line, value: value.value, itemLines: itemLinesOf(document, lineAt) });
  }
  return { documents, problems };
}

/** Lexemes of one value in ordinary YAML, with its key, blanks and line ends. */
const lexemesPerValue = 4;

/** The syntax tree, or why there is none: a text of nothing but commas takes long, too. */
function tokensOf(
  text: string,
  counter: LineCounter,
  limits: ParseLimits,
): readonly CST.Token[] | string {
  const parser = new Parser(counter.addNewLine);
  const tokens: CST.Token[] = [];
  counter.addNewLine(0);
  let lexemes = 0;
  for (const lexeme of new Lexer().lex(text)) {
    if (++lexemes > lexemesPerValue * limits.values) return tooManyValues(limits);
    for (const token of parser.next(lexeme)) tokens.push(token);
  }
  tokens.push(...parser.end());
  return tokens;
}

function tooManyValues({ values }: ParseLimits): string {
  return `the document has more than ${values} values`;
}

/** Looks at the syntax tree before the (recursive, and slower) composition of the document. */
function tooLarge(tokens: readonly CST.Token[], limits: ParseLimits): string | undefined {
  let values = 0;
  const stack: { token: CST.Token; depth: number }[] = tokens.map((token) => ({ token, depth: 0 }));
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { token, depth } = next;
    if (depth > limits.depth) return `the document is nested deeper than ${limits.depth} levels`;
    if (++values > limits.values) return tooManyValues(limits);
    if (token.type === 'document') {
      if (token.value !== undefined) stack.push({ token: token.value, depth });
    } else if ('items' in token) {
      for (const item of token.items) {
        if (item.key !== undefined && item.key !== null) {
          stack.push({ token: item.key, depth: depth + 1 });
        }
        if (item.value !== undefined) stack.push({ token: item.value, depth: depth + 1 });
      }
    }
  }
  return undefined;
}

interface Trouble {
  readonly offset: number;
  readonly reason: string;
}

/**
 * What the parser found, and keys that are written twice: its own search for these is quadratic.
 */
function troubleOf(document: Document.Parsed): Trouble | undefined {
  const found = document.errors[0] ?? document.warnings[0];
  if (found !== undefined) {
    return { offset: found.pos[0], reason: `${withoutText(found.message)} (${found.code})` };
  }
  const twice: Trouble[] = [];
  visit(document, {
    Map: (_, node) => {
      const keys = new Set<unknown>();
      for (const { key } of node.items) {
        if (!isScalar(key) || !keys.has(String(key.value))) {
          if (isScalar(key)) keys.add(String(key.value));
          continue;
        }
        const reason = `the key ${JSON.stringify(String(key.value))} is written twice`;
        twice.push({ offset: key.range?.[0] ?? 0, reason });
        return visit.BREAK;
      }
      return undefined;
    },
  });
  return twice[0];
}

/** What the parser says, without the part of the document that it shows: that may be a secret. */
function withoutText(message: string): string {
  return message.split(/\n|: /u, 1)[0] ?? 'malformed';
}

type Value = { readonly value: unknown } | { readonly reason: string };

function valueOf(document: Document.Parsed, limits: ParseLimits): Value {
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: limits.aliases });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { reason: `${withoutText(error.message)} (aliases)` };
  }
  return measure(value, limits) ?? { value };
}

/**
 * Aliases share what they stand for, so a small document may be a huge tree. The tree is walked
 * once here, so that everything after may walk it without a bound of its own.
 */
function measure(root: unknown, limits: ParseLimits): { readonly reason: string } | undefined {
  let values = 0;
  let characters = 0;
  const stack: { value: unknown; depth: number }[] = [{ value: root, depth: 0 }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { value, depth } = next;
    values++;
    if (typeof value === 'string') characters += value.length;
    if (values > limits.values || characters > 2 * limits.documentChars) {
      return { reason: 'the document is too large after its aliases are expanded' };
    }
    if (depth > limits.depth) {
      return { reason: `the document is nested deeper than ${limits.depth}` };
    }
    if (typeof value !== 'object' || value === null) continue;
    for (const [key, child] of Object.entries(value)) {
      characters += key.length;
      stack.push({ value: child, depth: depth + 1 });
    }
  }
  return undefined;
}

function itemLinesOf(
  document: Document.Parsed,
  lineAt: (offset: number) => number,
): readonly number[] {
  const items: unknown = document.get('items');
  if (typeof items !== 'object' || items === null || !('items' in items)) return [];
  if (!Array.isArray(items.items)) return [];
  return items.items.map((item: unknown) => lineAt(startOf(item)));
}

function startOf(node: unknown): number {
  if (typeof node !== 'object' || node === null || !('range' in node)) return 0;
  const range: unknown = node.range;
  const start: unknown = Array.isArray(range) ? range[0] : 0;
  return typeof start === 'number' ? start : 0;
}
