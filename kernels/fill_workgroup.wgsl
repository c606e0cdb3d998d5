// Fills workgroup memory with `pattern`, so that a kernel that runs next and reads memory which it has not written
// shows it. `sink` [1] takes a word of it, or a compiler would leave it all out. A workgroup fills WORDS words.
struct Params { pattern: u32 }

var<storage, read_write> sink: array<u32>;
var<uniform> params: Params;

var<workgroup> memory: array<u32, WORDS>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  for (var i = thread; i < WORDS; i += WORKGROUP) { memory[i] = params.pattern; }
  workgroupBarrier();
  if (thread == 0u && workgroup.x == 0u) { sink[0] = memory[params.pattern % WORDS]; }
}
