/**
 * Route tables as clients of VHDS get them (rules 48, 49): a RouteConfiguration without virtual
 * hosts, and each virtual host as a resource of its own, so that a host that changes costs that
 * host and not its table.
 *
 * A table's fragments are its head and its virtual hosts, each of these one field `virtual_hosts`
 * (2), so a host's message is what is in that field. Of it only its name (1) and domains (2) are
 * read. Field numbers are those of `envoy/config/route/v3`; RouteConfiguration's `vhds` is 9.
 */
import { hash } from 'node:crypto';
import { resourceTypes } from '@watershed/proto/any.ts';
import { FieldReader, nameField } from '../wire.ts';
import { hashName } from './trie.ts';
import { TypeView, type Entry } from './type-view.ts';

/** `vhds: { config_source: { ads: {}, resource_api_version: V3 } }` */
const vhds = Uint8Array.of(0x4a, 6, 0x0a, 4, 0x1a, 0, 0x30, 2);
const hostTag = 0x12;
const { route, virtualHost } = resourceTypes;

interface Table {
  /** `undefined`: it has no fragments to take apart, and goes as it is. */
  readonly head: Entry | undefined;
  readonly hosts: readonly Entry[];
  /** The same, as they are where some host has a wildcard. */
  readonly together: readonly Entry[] | undefined;
}

/** Names of route tables, compared by identity. */
export type TableNames = ReadonlySet<string>;

interface Derived {
  readonly raw: TypeView;
  readonly view: TypeView;
}

class Hosts {
  readonly made = new WeakMap<TableNames, WeakMap<TypeView, TypeView>>();
  readonly nearest = new WeakMap<TableNames, Derived>();
}

/** Of a host's name as clients have it: its table. */
export function tableOf(host: string): string {
  return host.slice(0, host.lastIndexOf('/'));
}

/** All hosts of a table, where the client is to have all: a name that no host has. */
export function allOf(table: string): string {
  return `${table}/_all`;
}

/** The longest name or alias that is read out of a host; a longer domain is no alias. */
const maxAlias = 512;

export class HostTables {
  readonly #tables = new WeakMap<Entry, Table>();
  readonly #versions = new WeakMap<Uint8Array, string>();
  readonly #hostEntries = new WeakMap<Uint8Array, Entry>();
  /** With a domain that stands for many: `*`, `*.x` or `x.*`; one too long to be read counts, too. */
  readonly #wild = new WeakSet<Entry>();
  readonly #heads = new WeakMap<TypeView, TypeView>();
  readonly #nearestHeads: { last: Derived | undefined } = { last: undefined };
  readonly #hosts = [new Hosts(), new Hosts()] as const;
  readonly #names = new Map<string, WeakRef<TableNames>>();

  /** Equal sets are one object. */
  namesOf(names: readonly string[]): TableNames {
    const key = JSON.stringify(names.toSorted());
    const known = this.#names.get(key)?.deref();
    if (known !== undefined) return known;
    if (this.#names.size >= maxSets) {
      for (const [old, ref] of this.#names) if (ref.deref() === undefined) this.#names.delete(old);
    }
    const made = new Set(names);
    this.#names.set(key, new WeakRef(made));
    return made;
  }

  /** Route tables without their hosts. */
  heads(raw: TypeView): TypeView {
    const known = this.#heads.get(raw);
    if (known !== undefined) return known;
    const { last } = this.#nearestHeads;
    const near = last ?? { raw: TypeView.empty(route, false), view: TypeView.empty(route, false) };
    const set: Entry[] = [];
    const gone: string[] = [];
    near.raw.diff(raw, (name, _before, after) => {
      if (after === undefined) gone.push(name);
      else set.push(this.#table(after).head ?? after);
    });
    const view = near.view.with(set, gone);
    this.#heads.set(raw, view);
    this.#nearestHeads.last = { raw, view };
    return view;
  }

  /**
   * The hosts of some tables. `onDemand`: where one of a table has a wildcard, all of it are of
   * `allOf` it, for it would take the requests of those that are not there yet.
   */
  hosts(raw: TypeView, tables: TableNames, onDemand = false): TypeView {
    const hosts = this.#hosts[onDemand ? 1 : 0];
    const byView = hosts.made.get(tables) ?? new WeakMap<TypeView, TypeView>();
    hosts.made.set(tables, byView);
    const known = byView.get(raw);
    if (known !== undefined) return known;
    const empty = TypeView.empty(virtualHost, false);
    const near = hosts.nearest.get(tables) ?? {
      raw: TypeView.empty(route, false),
      view: empty,
    };
    let view = near.view;
    near.raw.diff(raw, (name, before, after) => {
      if (!tables.has(name)) return;
      const now = this.#hostsOf(after, onDemand);
      const kept = new Set(now.map((host) => host.name));
      const was = this.#hostsOf(before, onDemand);
      const gone = was.filter((host) => !kept.has(host.name)).map((host) => host.name);
      view = view.with(now, gone);
    });
    byView.set(raw, view);
    hosts.nearest.set(tables, { raw, view });
    return view;
  }

  /** Names of a table's hosts. */
  hostNames(table: Entry | undefined): readonly string[] {
    return table === undefined ? [] : this.#table(table).hosts.map((host) => host.name);
  }

  /** Whether some host of a table has a domain that stands for many. */
  isWild(table: Entry | undefined): boolean {
    return table !== undefined && this.#table(table).together !== undefined;
  }

  #hostsOf(table: Entry | undefined, onDemand: boolean): readonly Entry[] {
    if (table === undefined) return [];
    const { hosts, together } = this.#table(table);
    return onDemand ? (together ?? hosts) : hosts;
  }

  #table(entry: Entry): Table {
    let table = this.#tables.get(entry);
    if (table === undefined) this.#tables.set(entry, (table = this.#split(entry)));
    return table;
  }

  #split(entry: Entry): Table {
    const { fragments } = entry;
    if (fragments === undefined) return whole;
    const head: Uint8Array[] = [];
    const hosts: Entry[] = [];
    for (const fragment of fragments) {
      const host = fragment[0] === hostTag ? this.#host(entry.name, fragment) : undefined;
      if (host === undefined) head.push(fragment);
      else hosts.push(host);
    }
    const names = new Set(hosts.map((host) => host.name));
    if (hosts.length === 0 || names.size < hosts.length) return whole;
    const parts = [...head, vhds];
    return {
      head: {
        typeUrl: route,
        name: entry.name,
        hash: entry.hash,
        version: digest(parts.map((part) => this.#versionOf(part)).join('')),
        fragments: parts,
        size: parts.reduce((sum, part) => sum + part.length, 0),
        refs: entry.refs,
      },
      hosts,
      together: hosts.some((host) => this.#wild.has(host)) ? together(entry, hosts) : undefined,
    };
  }

  /** `undefined`: the fragment is not one virtual host. */
  #host(table: string, fragment: Uint8Array): Entry | undefined {
    const known = this.#hostEntries.get(fragment);
    if (known?.name.startsWith(`${table}/`) === true) return known;
    const outer = new FieldReader(fragment);
    if (!outer.next() || outer.end !== fragment.length) return undefined;
    const message = outer.content();
    const fields = new FieldReader(message);
    let name = '';
    const aliases: string[] = [];
    let wild = false;
    // Name and domains stand first; routes need not be walked.
    while (fields.next() && fields.field <= 2 && fields.wireType === 2) {
      const long = fields.end - fields.start > maxAlias;
      if (fields.field === 2) {
        const domain = long ? '*' : fields.text();
        wild ||= domain.includes('*');
        if (!long) aliases.push(`${table}/${domain}`);
      } else if (!long) name = fields.text();
    }
    if (name === '') return undefined;
    // The part behind the last slash is the host (rule 48).
    const full = `${table}/${name.replaceAll('/', '|')}`;
    // Envoy removes a host by its own name: it must be that of the resource. The last name counts.
    const fragments = [message, nameField(full)];
    const entry: Entry = {
      typeUrl: virtualHost,
      name: full,
      hash: hashName(full),
      version: this.#versionOf(fragment),
      fragments,
      size: fragments.reduce((sum, part) => sum + part.length, 0),
      refs: [],
      aliases: aliases.filter((alias) => alias !== full),
    };
    this.#hostEntries.set(fragment, entry);
    if (wild) this.#wild.add(entry);
    return entry;
  }

  #versionOf(part: Uint8Array): string {
    let version = this.#versions.get(part);
    if (version === undefined) this.#versions.set(part, (version = digest(part)));
    return version;
  }
}

const whole: Table = { head: undefined, hosts: [], together: undefined };

function together({ name }: Entry, hosts: readonly Entry[]): readonly Entry[] {
  const groups = [allOf(name)];
  return hosts.map((host) => ({ ...host, version: `${host.version}*`, groups }));
}

const maxSets = 1_024;

function digest(of: string | Uint8Array): string {
  return hash('sha256', of, 'base64url').slice(0, 22);
}
