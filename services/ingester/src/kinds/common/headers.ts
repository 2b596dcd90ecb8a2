/** Names and values of HTTP headers, as Envoy takes them in routes. */

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/u;
// Bytes that protoc-gen-validate's strict header rule refuses: control characters other than tab.
// oxlint-disable-next-line no-control-regex -- they are what is refused
const control = /[\u0000-\u0008\u000a-\u001f\u007f]/u;
const pseudo = new Set([':method', ':scheme', ':authority', ':path', ':status']);

export function isHeaderName(name: string): boolean {
  return token.test(name);
}

export function isPseudoHeader(name: string): boolean {
  return pseudo.has(name);
}

export function isAuthorityHeader(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === ':authority' || lower === 'host';
}

/** A match on a JWT's claims, in the form of a header's name. */
export function isClaimMatch(name: string): boolean {
  return /^@request\.auth\.claims(?:\..|\[.+\]$)/iu.test(name);
}

type State =
  | 'literal'
  | 'variable'
  | 'args'
  | 'string'
  | 'expectString'
  | 'delimiter'
  | 'argsEnd'
  | 'variableEnd';

/** Envoy takes none in what becomes a part of a header (of a path or a host, too). */
export function controlProblem(text: string): string | undefined {
  return control.test(text) ? 'must not contain control characters' : undefined;
}

/**
 * Why Envoy would refuse a value of a header to add; undefined if it takes it. `%` starts a
 * variable (`%START_TIME%`, `%REQ(X)%`), `%%` is a percent sign (Envoy's header_parser.cc).
 */
export function headerValueProblem(value: string): string | undefined {
  const problem = controlProblem(value);
  if (problem !== undefined) return problem;
  let state: State = 'literal';
  for (let i = 0; i < value.length; i++) {
    const char = value.charAt(i);
    const last = i + 1 === value.length;
    if (state === 'literal' && char === '%') {
      if (last) return 'has a "%" that is neither doubled nor the start of a variable';
      if (value.charAt(i + 1) === '%') i++;
      else state = 'variable';
    } else if (state === 'string' && char === '\\') {
      if (last) return 'ends within an escaped character';
      i++;
    } else {
      const next = step(state, char);
      if (next === undefined) return `has a variable that is not of the form %NAME% or %NAME(…)%`;
      state = next;
    }
  }
  return state === 'literal' ? undefined : 'has a variable that does not end; write "%%" for "%"';
}

/** The state after a character; undefined if the character may not be there. */
function step(state: State, char: string): State | undefined {
  const stay = char === ' ' ? state : undefined;
  switch (state) {
    case 'literal':
      return 'literal';
    case 'variable':
      if (char === '%') return 'literal';
      return char === '(' ? 'args' : 'variable';
    case 'args':
      if (char === '[') return 'expectString';
      return stay ?? 'string';
    case 'string':
      if (char === ')') return 'variableEnd';
      return char === '"' ? 'delimiter' : 'string';
    case 'expectString':
      return char === '"' ? 'string' : stay;
    case 'delimiter':
      if (char === ',') return 'expectString';
      return char === ']' ? 'argsEnd' : stay;
    case 'argsEnd':
      return char === ')' ? 'variableEnd' : stay;
    case 'variableEnd':
      return char === '%' ? 'literal' : stay;
  }
}
