#pragma once

// Prepared forms of weights are a cache: whatever is needed again can be built again. When memory
// is short, forms that no running encode uses are released, the least recently used first.

#include <cstdint>
#include <functional>

#include "core/backend.h"

namespace monosem::cpu {

/// One form's place in the cache. Its owner keeps it, declared after what `drop` releases.
class Form {
 public:
  /// drop: gives the form's memory back. Called on any thread, but never while the form is in use.
  explicit Form(std::function<void()> drop);
  ~Form();
  Form(const Form&) = delete;
  Form& operator=(const Form&) = delete;

  monosem_sae_forms held() const;

 private:
  friend class FormUse;
  friend class FormCache;
  std::function<void()> drop_;
  monosem_sae_forms held_{};
  uint64_t asked_at_ = 0, used_at_ = 0;  // on the cache's clock
  int users_ = 0;
};

/// A form in use, from where it is made to the end of its scope: until then nobody releases it.
class FormUse {
 public:
  struct Building {
    /// Bytes that building will take; 0: it is built. Called with the form in use.
    std::function<uint64_t()> missing;
    /// Builds what is missing, and says what is held then.
    std::function<monosem_sae_forms()> build;
    /// The call at hand is long enough to pay for the building. Then others' forms are released for
    /// it at once; else only those that lay idle since this form was last asked for. So SAEs that
    /// take turns with small batches do not evict each other round and round.
    bool pays;
  };
  FormUse(Form& form, const Building& building);
  ~FormUse();
  FormUse(const FormUse&) = delete;
  FormUse& operator=(const FormUse&) = delete;

  /// False: memory is too short for the form, which is not built.
  explicit operator bool() const { return usable_; }

 private:
  Form& form_;
  bool usable_ = false;
};

/// Makes room for `bytes` beside a reserve, a sixteenth of all memory, by giving back cached blocks
/// and then forms. False if that cannot be had: then no form was released.
bool make_room(uint64_t bytes);

/// Releases the form that was not used for longest. False: there is none out of use.
bool release_oldest_form();

}  // namespace monosem::cpu
