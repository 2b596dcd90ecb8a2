/** What one look tells of one object at most: who has more of it has enough to read. */
export const maxTold = 20;
