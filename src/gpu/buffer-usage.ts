/**
 * The flags of buffers, which the specification fixes: they are known before Dawn is loaded.
 * https://www.w3.org/TR/webgpu/#typedefdef-gpubufferusageflags
 */
export const BUFFER_USAGE = {
  MAP_READ: 0x0001,
  COPY_SRC: 0x0004,
  COPY_DST: 0x0008,
  UNIFORM: 0x0040,
  STORAGE: 0x0080,
  QUERY_RESOLVE: 0x0200,
} as const;

export const MAP_READ = 0x0001;
