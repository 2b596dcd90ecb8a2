/**
 * JSON is YAML, and many times faster to parse by itself. What is not JSON, is beyond a limit or
 * has a key twice is left to the YAML parser, which knows how to say what is wrong and where.
 */
import type { ParsedDocument, ParseLimits } from './limits.ts';

/** `undefined`: not for here. Lines are from 0. */
export function parseJson(text: string, limits: ParseLimits): ParsedDocument | undefined {
  if (!/^\s*\{/u.test(text)) return undefined;
  const outline = outlineOf(text, limits);
  if (outline === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  // Of a key that is written twice, one is left.
  if (keysIn(value) !== outline.keys) return undefined;
  const { line, itemLines } = outline;
  return { value, line, itemLines };
}

function keysIn(root: unknown): number {
  let count = 0;
  const stack: unknown[] = [root];
  while (stack.length > 0) {
    const value = stack.pop();
    if (typeof value !== 'object' || value === null) continue;
    const children: unknown[] = Object.values(value);
    if (!Array.isArray(value)) count += children.length;
    for (const child of children) stack.push(child);
  }
  return count;
}

const [newline, blank, quote, comma, colon, backslash] = [10, 32, 34, 44, 58, 92];
const [openBracket, closeBracket, openBrace, closeBrace] = [91, 93, 123, 125];

interface Outline {
  readonly keys: number;
  /** Of the first brace. */
  readonly line: number;
  readonly itemLines: readonly number[];
}

/**
 * What the parsed value does not tell: how many keys were written, and the lines of the items of a
 * List. `undefined`: beyond a limit. Of text that is no JSON it tells something.
 */
function outlineOf(text: string, limits: ParseLimits): Outline | undefined {
  const itemLines: number[] = [];
  let [line, firstLine, depth, keys, values] = [0, 0, 0, 0, 0];
  let lastKey = '';
  let inItems = false;
  let itemIsNext = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === newline) line++;
    if (code <= blank) continue;
    if (code === comma) {
      values++;
      itemIsNext = inItems && depth === 2;
      continue;
    }
    if (code === colon) {
      values++;
      keys++;
      continue;
    }
    if (code === closeBrace || code === closeBracket) {
      depth--;
      itemIsNext = false;
      inItems &&= depth >= 2;
      continue;
    }
    if (itemIsNext) itemLines.push(line);
    itemIsNext = false;
    if (code === quote) {
      const end = endOfString(text, at);
      if (depth === 1) lastKey = text.slice(at, end + 1);
      at = end;
    } else if (code === openBrace || code === openBracket) {
      if (depth === 0) firstLine = line;
      depth++;
      values++;
      if (depth > limits.depth || values > limits.values) return undefined;
      if (depth === 2 && code === openBracket && lastKey === '"items"') {
        inItems = true;
        itemIsNext = true;
      }
    }
  }
  return values > limits.values ? undefined : { keys, line: firstLine, itemLines };
}

/** Where the string ends that begins here. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end !== -1 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end === -1 ? text.length : end;
}

function isEscaped(text: string, at: number): boolean {
  let before = at - 1;
  while (text.charCodeAt(before) === backslash) before--;
  return (at - before) % 2 === 0;
}
