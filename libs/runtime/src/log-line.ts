/**
 * A JSON line as a person at a terminal reads it, in istiod's order:
 * `2026-01-01T00:00:00.000Z  info  ads  connected  proxy=a.b streams=3`.
 */
export function lineOf(json: string): string {
  const parsed: unknown = JSON.parse(json);
  if (typeof parsed !== 'object' || parsed === null) return json;
  const fields = new Map<string, unknown>(Object.entries(parsed));
  const head = ['time', 'level', 'scope', 'msg'].map((name) => {
    const value = fields.get(name);
    fields.delete(name);
    return typeof value === 'string' ? visible(value) : '';
  });
  const stacks: string[] = [];
  const shown = [...fields].map(([name, value]) => `${visible(name)}=${textOf(value, stacks)}`);
  const line = [...head, shown.join(' ')].filter((part) => part !== '').join('\t');
  return [line, ...stacks].map((part) => `${part}\n`).join('');
}

function textOf(value: unknown, stacks: string[]): string {
  if (typeof value === 'string' && value !== '' && !/[\s"=]/u.test(value)) return visible(value);
  if (typeof value !== 'object' || value === null || !('stack' in value)) return quoted(value);
  const { stack, ...rest } = value;
  // Its first line is the message again.
  if (typeof stack === 'string') stacks.push(...stack.split('\n').slice(1).map(visible));
  const onlyMessage = 'message' in rest && Object.keys(rest).length === 1;
  return quoted(onlyMessage ? rest.message : rest);
}

function quoted(value: unknown): string {
  return visible(JSON.stringify(value));
}

/** Control characters cannot forge a line or move a cursor: what is logged comes from strangers. */
function visible(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `\\u${code.toString(16).padStart(4, '0')}`;
  });
}
