/**
 * Names of resources. Most are free text; those of the scheme `xdstp` are URLs whose parts are told
 * apart: `xdstp://AUTHORITY/TYPE/ID?KEY=VALUE&…#DIRECTIVES`
 * (`xds/core/v3/resource_name.proto`). The parameters are a map and belong to the identity (rule
 * 50); directives do not.
 */

export interface XdstpName {
  readonly authority: string;
  /** The message's full name: `envoy.config.listener.v3.Listener`. */
  readonly type: string;
  readonly id: string;
  readonly params: ReadonlyMap<string, string>;
}

const scheme = 'xdstp:';
/** Whose resources a scope's are. */
const authority = 'xdstp://watershed';
const pattern = /^xdstp:\/\/([^/?#]*)\/([^/?#]+)\/([^?#]*)(?:\?([^#]*))?(?:#.*)?$/su;

/** `undefined`: a name of no parts, or one that only looks as if it had some. */
export function parseXdstp(name: string): XdstpName | undefined {
  if (!name.startsWith(scheme)) return undefined;
  const [, host = '', type, path = '', query = ''] = pattern.exec(name) ?? [];
  const [authority, id] = [decoded(host), decoded(path)];
  if (authority === undefined || type === undefined || id === undefined) return undefined;
  const params = new Map<string, string>();
  for (const pair of query === '' ? [] : query.split('&')) {
    const at = pair.indexOf('=');
    const key = decoded(at < 0 ? pair : pair.slice(0, at));
    const value = decoded(at < 0 ? '' : pair.slice(at + 1));
    if (key === undefined || value === undefined || key === '' || params.has(key)) return undefined;
    params.set(key, value);
  }
  return { authority, type, id, params };
}

/**
 * Equal for names that mean the same resource, and what an Envoy asks for: it makes a name
 * canonical itself, and knows an answer by that spelling alone.
 */
export function canonicalName(name: string): string {
  if (!name.startsWith(scheme)) return name;
  const parsed = parseXdstp(name);
  if (parsed === undefined) return name;
  const query = [...parsed.params]
    .map((pair) => pair.map((part) => encoded(part, '%#[]&=')).join('='))
    // As wholes, where a key is the beginning of another one.
    .sort()
    .join('&');
  const authority = encoded(parsed.authority, '%/?#');
  return `${scheme}//${authority}/${parsed.type}/${encodedId(parsed.id)}${query === '' ? '' : `?${query}`}`;
}

/** The canonical name of a scope's resource; `typeUrl` as in an Any. */
export function locatorOf(typeUrl: string, name: string): string {
  return `${authority}/${messageOf(typeUrl)}/${encodedId(name)}`;
}

/** All resources of a type (a glob collection). */
export function collectionOf(typeUrl: string): string {
  return `${authority}/${messageOf(typeUrl)}/*`;
}

export function isLocator(name: string): boolean {
  return name.startsWith(scheme);
}

export function isCollection(name: string): boolean {
  return name.endsWith('/*') && isLocator(name);
}

function messageOf(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Neither `/` nor `:` is escaped in a path (`resource_name.proto`; Envoy since 1.31). */
function encodedId(id: string): string {
  return encoded(id, '%?#[]');
}

/** Escapes the reserved and all that is not printable ASCII. */
function encoded(text: string, reserved: string): string {
  let out = '';
  for (const byte of Buffer.from(text)) {
    const character = String.fromCharCode(byte);
    const plain = byte >= 0x20 && byte < 0x7e && !reserved.includes(character);
    out += plain ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}
