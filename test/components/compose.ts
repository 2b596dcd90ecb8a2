import { runGoTool } from './go-tool.ts';

/** Its version is that of compose-go, which Docker Compose reads files with. */
const composeConfig = { name: 'compose-config', version: '2.16.2', package: '.' };

/** A service of a compose file, as Docker Compose has read it: names and numbers are its. */
export interface ComposeService {
  readonly image: string;
  readonly command: readonly string[] | null;
  readonly environment?: Readonly<Record<string, string>>;
  readonly user?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly deploy?: { readonly replicas?: number };
  readonly volumes?: readonly ComposeMount[];
  readonly ports?: readonly { readonly target: number; readonly host_ip: string }[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

export interface ComposeMount {
  readonly type: 'bind' | 'volume';
  readonly source: string;
  readonly target: string;
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
}

/**
 * Reads it with Docker Compose's own library: schema, merging, references, defaults.
 *
 * @throws Error with what the library says of a file that it refuses.
 */
export async function readCompose(file: string): Promise<ComposeFile> {
  const { status, stdout, stderr } = await runGoTool(composeConfig, [file], { timeoutMs: 30_000 });
  if (status !== 0) throw new Error(stderr);
  // The library has checked it against the schema that this type is taken from.
  return JSON.parse(stdout) as ComposeFile;
}
