/** Why a part of a file gave no object. */
export interface FileProblem {
  /** From 1; 0 where it is about the file as a whole, or about a directory. */
  readonly line: number;
  readonly reason: string;
}
