import { RE2JS } from 're2js';

/** Envoy bounds the size of a compiled program; the length of the text is istiod's stand-in for it. */
const maxRegex = 1024;

/** Why a text is no regular expression that Envoy (RE2) takes; undefined if it is one. */
export function regexProblem(regex: string): string | undefined {
  if (regex === '') return 'must not be empty';
  if (regex.length > maxRegex) {
    return `must have at most ${maxRegex} characters, not ${regex.length}`;
  }
  try {
    RE2JS.compile(regex);
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return `is no regular expression of RE2's syntax: ${reason}`;
  }
}

/** The text as a regular expression that matches it and nothing else. */
export function regexQuote(text: string): string {
  return RE2JS.quote(text);
}
