#include "cpu/form_cache.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/immortal.h"
#include "core/sae_forms.h"
#include "cpu/available_memory.h"
#include "cpu/ops.h"

namespace monosem::cpu {

namespace {

constexpr uint64_t kAnyAge = std::numeric_limits<uint64_t>::max();

/// What would be left is for everything else: activations, the page cache of mapped weights, other
/// processes.
bool fits(uint64_t bytes, uint64_t releasable) {
  const MemoryReading memory = read_memory();
  return memory.available + releasable >= bytes + memory.total / 16;
}

}  // namespace

/// All forms of the process. Its lock may be held while the allocator's is taken, never the other
/// way round; forms are dropped under it, so that none ends meanwhile.
class FormCache {
 public:
  static FormCache& instance() {
    static Immortal<FormCache> cache;
    return *cache;
  }

  std::mutex mutex;

  void enter(Form& form) {
    const std::lock_guard lock(mutex);
    forms_.push_back(&form);
  }
  void leave(Form& form) {
    const std::lock_guard lock(mutex);
    std::erase(forms_, &form);
  }

  uint64_t tick() { return ++clock_; }

  /// With the lock held: forms out of use, and not used since `age`.
  uint64_t releasable(uint64_t age) const {
    uint64_t bytes = 0;
    for (const Form* form : forms_)
      if (idle(*form, age)) bytes += total_bytes(form->held_);
    return bytes;
  }
  bool release_oldest(uint64_t age) {
    Form* oldest = nullptr;
    for (Form* form : forms_)
      if (idle(*form, age) && (oldest == nullptr || form->used_at_ < oldest->used_at_))
        oldest = form;
    if (oldest == nullptr) return false;
    oldest->held_ = {};
    oldest->drop_();
    return true;
  }

  bool make_room(uint64_t bytes, uint64_t age) {
    if (fits(bytes, 0)) return true;
    trim();
    const std::lock_guard lock(mutex);
    if (!fits(bytes, releasable(age))) return false;
    while (!fits(bytes, 0)) {
      if (!release_oldest(age)) return false;
      trim();
    }
    return true;
  }

 private:
  static bool idle(const Form& form, uint64_t age) {
    return form.users_ == 0 && total_bytes(form.held_) > 0 && form.used_at_ < age;
  }

  std::vector<Form*> forms_;
  uint64_t clock_ = 0;
};

Form::Form(std::function<void()> drop) : drop_(std::move(drop)) {
  FormCache::instance().enter(*this);
}

Form::~Form() { FormCache::instance().leave(*this); }

monosem_sae_forms Form::held() const {
  const std::lock_guard lock(FormCache::instance().mutex);
  return held_;
}

FormUse::FormUse(Form& form, const Building& building) : form_(form) {
  FormCache& cache = FormCache::instance();
  uint64_t age = kAnyAge;
  {
    const std::lock_guard lock(cache.mutex);
    ++form.users_;
    if (!building.pays) age = form.asked_at_;
    form.asked_at_ = cache.tick();
  }
  // Only this thread touches the form from here on, but for reading held_.
  const auto publish = [&](const monosem_sae_forms& held) {
    const std::lock_guard lock(cache.mutex);
    form.held_ = held;
    form.used_at_ = cache.tick();
  };
  const auto build = [&] {
    try {
      publish(building.build());
      return true;
    } catch (const std::bad_alloc&) {
    } catch (const Error& error) {
      if (error.code() != std::string(kOutOfMemory)) throw;
    }
    form.drop_();
    publish({});
    return false;
  };
  try {
    const uint64_t missing = building.missing();
    usable_ = missing == 0 || cache.make_room(missing, age);
    // The reading was wrong, or memory was taken meanwhile: then as long as somebody else can give.
    while (usable_ && !build()) usable_ = release_oldest_form();
  } catch (...) {
    const std::lock_guard lock(cache.mutex);
    --form.users_;
    throw;
  }
}

FormUse::~FormUse() {
  const std::lock_guard lock(FormCache::instance().mutex);
  form_.used_at_ = FormCache::instance().tick();
  --form_.users_;
}

bool make_room(uint64_t bytes) { return FormCache::instance().make_room(bytes, kAnyAge); }

bool release_oldest_form() {
  FormCache& cache = FormCache::instance();
  bool released = false;
  {
    const std::lock_guard lock(cache.mutex);
    released = cache.release_oldest(kAnyAge);
  }
  if (released) trim();
  return released;
}

}  // namespace monosem::cpu
