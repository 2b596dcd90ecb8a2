/** What `xdsctl` has of the world outside. */
export interface Surroundings {
  /** Gets what is answered, without the last line feed. */
  readonly print: (text: string) => void;
  /** Gets lines for people who wait. */
  readonly progress: (line: string) => void;
  /** Where fetched programs are kept: see `cacheDirectory`. */
  readonly cache: string;
  /** The process's variables. */
  readonly environment: NodeJS.ProcessEnv;
}
